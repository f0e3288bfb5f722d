# Recipes for everyday work; `just` lists them.
default:
    @just --list

# What CI runs
check:
    bash .ci/run

test:
    cargo test --workspace

lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo deny check

bench:
    cargo bench --workspace

# Makes the reference values again; needs Python and a checkout of lyuwenyu/RT-DETR
fixtures official:
    python weights-scripts/make_fixtures.py --official {{official}}
