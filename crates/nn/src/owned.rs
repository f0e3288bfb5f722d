//! Which parameters a model owns, called or not, as its layers say while they are made.

use std::cell::RefCell;

use detrace_flops::Param;

/// What a model is made of, in the order in which it was made.
#[derive(Clone, Debug, Default)]
pub struct Owned {
    /// Every module's dotted name, with parameters or without.
    pub modules: Vec<String>,
    /// Every parameter by its full name.
    pub params: Vec<Param>,
}

thread_local! {
    static WATCHERS: RefCell<Vec<Owned>> = const { RefCell::new(Vec::new()) };
}

/// Runs a model's constructor and gives the modules and parameters that its layers declared. Layers must be made on the calling thread.
pub fn owned_by<T>(build: impl FnOnce() -> T) -> (T, Owned) {
    /// Takes the watcher away even if the constructor panics.
    struct Watcher(usize);
    impl Watcher {
        fn end(&self) -> Owned {
            WATCHERS.with_borrow_mut(|watchers| {
                watchers.truncate(self.0 + 1);
                watchers.pop().unwrap_or_default()
            })
        }
    }
    impl Drop for Watcher {
        fn drop(&mut self) {
            WATCHERS.with_borrow_mut(|watchers| watchers.truncate(self.0));
        }
    }
    let watcher = Watcher(WATCHERS.with_borrow_mut(|watchers| {
        watchers.push(Owned::default());
        watchers.len() - 1
    }));
    let built = build();
    let owned = watcher.end();
    // A model inside a model belongs to both.
    WATCHERS.with_borrow_mut(|watchers| {
        if let Some(outer) = watchers.last_mut() {
            outer.modules.extend(owned.modules.iter().cloned());
            outer.params.extend(owned.params.iter().cloned());
        }
    });
    (built, owned)
}

/// Says that there is a module at `path`, and that it owns `params`. Layers call this in their constructors.
pub fn declare(path: &str, params: &[Param]) {
    WATCHERS.with_borrow_mut(|watchers| {
        if let Some(watcher) = watchers.last_mut() {
            watcher.modules.push(path.to_owned());
            watcher.params.extend(params.iter().map(|param| {
                let name = if path.is_empty() { param.name.clone() } else { format!("{path}.{}", param.name) };
                Param { name, ..param.clone() }
            }));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_models_belong_to_both_and_a_panic_leaves_nothing_behind() {
        let ((_, inner), outer) = owned_by(|| {
            declare("a", &[Param::named("weight", &[1])]);
            owned_by(|| declare("b", &[Param::named("bias", &[2])]))
        });
        assert_eq!(inner.params.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["b.bias"]);
        assert_eq!(outer.params.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["a.weight", "b.bias"]);
        assert_eq!(outer.modules, ["a", "b"]);
        let panicked = std::panic::catch_unwind(|| owned_by(|| panic!("a constructor fails")));
        assert!(panicked.is_err());
        assert!(WATCHERS.with_borrow(Vec::is_empty));
        declare("nobody", &[Param::named("weight", &[1])]);
    }
}
