//! Vectors of `f32`: what kernels are written over, one implementation per instruction set.
//!
//! A kernel is a function generic over [`Vector`] that is inlined into one entry point per instruction set, where the
//! compiler may use that set's instructions. A new instruction set is one implementation here and one arm in [`dispatch!`].

/// Rows of sums that a micro-kernel keeps in registers, of [`WIDE`](Vector::WIDE) vectors each.
pub(crate) const ROWS: usize = 6;

/// A vector of [`LANES`](Vector::LANES) numbers. The operations are what one instruction does.
///
/// # Safety
/// Every method may only be called where the instruction set is there; loads and stores are valid for `LANES` numbers.
pub(crate) trait Vector: Copy {
    /// Numbers in a vector.
    const LANES: usize;
    /// Vectors that a micro-kernel's row holds, so that six rows fill the registers.
    const WIDE: usize;

    /// Asks for a line of the caches that will be read soon; any address will do.
    unsafe fn prefetch(from: *const f32);
    /// The same for what will be read later: into the second level only.
    unsafe fn prefetch_far(from: *const f32);
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn splat(value: f32) -> Self;
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    unsafe fn div(self, other: Self) -> Self;
    /// `self · other + sum`, rounded once where there is an instruction for it.
    unsafe fn mul_add(self, other: Self, sum: Self) -> Self;
    /// The larger; `other` if either is NaN.
    unsafe fn max(self, other: Self) -> Self;
    /// The larger; NaN if either is.
    unsafe fn max_nan(self, other: Self) -> Self;
    /// The smaller; `other` if either is NaN.
    unsafe fn min(self, other: Self) -> Self;
    /// The nearest whole number.
    unsafe fn round(self) -> Self;
    /// 2 to the power of a whole number in −127 ..= 128, where −127 gives 0 and 128 gives ∞.
    unsafe fn pow2(self) -> Self;
    /// The sum of all.
    unsafe fn sum(self) -> f32;
    /// The largest of all; none may be NaN.
    unsafe fn largest(self) -> f32;
}

/// One number times vectors of others, added to as many sums.
///
/// # Safety
/// As for [`Vector`]; there is a number at `value`.
#[inline(always)]
pub(crate) unsafe fn add_products<V: Vector, const N: usize>(sums: &mut [V; N], value: *const f32, columns: &[V; N]) {
    // SAFETY: the caller's promise.
    unsafe {
        let value = V::splat(*value);
        for column in 0..N {
            sums[column] = value.mul_add(columns[column], sums[column]);
        }
    }
}

/// Plain arithmetic that the compiler may turn into whatever vectors the target always has.
#[derive(Clone, Copy)]
pub(crate) struct Portable([f32; 8]);

impl Portable {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Portable(std::array::from_fn(|lane| f(self.0[lane], other.0[lane])))
    }
}

impl Vector for Portable {
    const LANES: usize = 8;
    const WIDE: usize = 2;

    #[inline(always)]
    unsafe fn prefetch(_: *const f32) {}
    #[inline(always)]
    unsafe fn prefetch_far(_: *const f32) {}
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise; arrays of f32 have its alignment.
        Portable(unsafe { from.cast::<[f32; 8]>().read() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { to.cast::<[f32; 8]>().write(self.0) }
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Portable([value; 8])
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        self.zip(other, |a, b| a / b)
    }
    #[inline(always)]
    unsafe fn mul_add(self, other: Self, sum: Self) -> Self {
        Portable(std::array::from_fn(|lane| self.0[lane] * other.0[lane] + sum.0[lane]))
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    unsafe fn max_nan(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b || a.is_nan() { a } else { b })
    }
    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        self.zip(other, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    unsafe fn round(self) -> Self {
        Portable(self.0.map(f32::round_ties_even))
    }
    #[inline(always)]
    unsafe fn pow2(self) -> Self {
        Portable(self.0.map(|power| f32::from_bits((power as i32 + 127).cast_unsigned() << 23)))
    }
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        self.0.iter().sum()
    }
    #[inline(always)]
    unsafe fn largest(self) -> f32 {
        self.0.iter().copied().fold(f32::NEG_INFINITY, f32::max)
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) mod x86 {
    //! Intel's and AMD's vectors.
    use std::arch::x86_64::*;

    use super::Vector;

    /// AVX2 with FMA.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx2(__m256);

    /// AVX-512F.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx512(__m512);

    macro_rules! vector {
        ($name:ident, $lanes:literal, $wide:literal, $load:ident, $store:ident, $splat:ident, $add:ident, $sub:ident,
         $mul:ident, $div:ident, $fma:ident, $max:ident, $max_nan:expr, $min:ident, $round:expr, $pow2:expr, $sum:expr, $largest:expr) => {
            // SAFETY of every block: the instruction set is there by the trait's contract, and so is what pointers point to.
            impl Vector for $name {
                const LANES: usize = $lanes;
                const WIDE: usize = $wide;

                #[inline(always)]
                unsafe fn prefetch(from: *const f32) {
                    // SAFETY: it reads nothing.
                    unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) }
                }
                #[inline(always)]
                unsafe fn prefetch_far(from: *const f32) {
                    // SAFETY: it reads nothing.
                    unsafe { _mm_prefetch::<_MM_HINT_T1>(from.cast()) }
                }
                #[inline(always)]
                unsafe fn load(from: *const f32) -> Self {
                    // SAFETY: see above.
                    $name(unsafe { $load(from) })
                }
                #[inline(always)]
                unsafe fn store(self, to: *mut f32) {
                    // SAFETY: see above.
                    unsafe { $store(to, self.0) }
                }
                #[inline(always)]
                unsafe fn splat(value: f32) -> Self {
                    // SAFETY: see above.
                    $name(unsafe { $splat(value) })
                }
                #[inline(always)]
                unsafe fn add(self, other: Self) -> Self {
                    // SAFETY: see above.
                    $name(unsafe { $add(self.0, other.0) })
                }
                #[inline(always)]
                unsafe fn sub(self, other: Self) -> Self {
                    // SAFETY: see above.
                    $name(unsafe { $sub(self.0, other.0) })
                }
                #[inline(always)]
                unsafe fn mul(self, other: Self) -> Self {
                    // SAFETY: see above.
                    $name(unsafe { $mul(self.0, other.0) })
                }
                #[inline(always)]
                unsafe fn div(self, other: Self) -> Self {
                    // SAFETY: see above.
                    $name(unsafe { $div(self.0, other.0) })
                }
                #[inline(always)]
                unsafe fn mul_add(self, other: Self, sum: Self) -> Self {
                    // SAFETY: see above.
                    $name(unsafe { $fma(self.0, other.0, sum.0) })
                }
                #[inline(always)]
                unsafe fn max(self, other: Self) -> Self {
                    // SAFETY: see above.
                    $name(unsafe { $max(self.0, other.0) })
                }
                #[inline(always)]
                unsafe fn max_nan(self, other: Self) -> Self {
                    // SAFETY: see above.
                    $name(unsafe { $max_nan(self.0, other.0) })
                }
                #[inline(always)]
                unsafe fn min(self, other: Self) -> Self {
                    // SAFETY: see above.
                    $name(unsafe { $min(self.0, other.0) })
                }
                #[inline(always)]
                unsafe fn round(self) -> Self {
                    // SAFETY: see above.
                    $name(unsafe { $round(self.0) })
                }
                #[inline(always)]
                unsafe fn pow2(self) -> Self {
                    // SAFETY: see above.
                    $name(unsafe { $pow2(self.0) })
                }
                #[inline(always)]
                unsafe fn sum(self) -> f32 {
                    // SAFETY: see above.
                    unsafe { $sum(self.0) }
                }
                #[inline(always)]
                unsafe fn largest(self) -> f32 {
                    // SAFETY: see above.
                    unsafe { $largest(self.0) }
                }
            }
        };
    }

    vector!(
        Avx2,
        8,
        2,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_set1_ps,
        _mm256_add_ps,
        _mm256_sub_ps,
        _mm256_mul_ps,
        _mm256_div_ps,
        _mm256_fmadd_ps,
        _mm256_max_ps,
        |a, b| _mm256_blendv_ps(_mm256_max_ps(a, b), a, _mm256_cmp_ps::<_CMP_UNORD_Q>(a, a)),
        _mm256_min_ps,
        |x| _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x),
        |x| _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(
            _mm256_cvtps_epi32(x),
            _mm256_set1_epi32(127)
        ))),
        |x| fold256(x, |a, b| a + b),
        |x| fold256(x, f32::max)
    );

    vector!(
        Avx512,
        16,
        4,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_set1_ps,
        _mm512_add_ps,
        _mm512_sub_ps,
        _mm512_mul_ps,
        _mm512_div_ps,
        _mm512_fmadd_ps,
        _mm512_max_ps,
        |a, b| _mm512_mask_mov_ps(_mm512_max_ps(a, b), _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a), a),
        _mm512_min_ps,
        |x| _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x),
        |x| _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_add_epi32(
            _mm512_cvtps_epi32(x),
            _mm512_set1_epi32(127)
        ))),
        |x| _mm512_reduce_add_ps(x),
        |x| _mm512_reduce_max_ps(x)
    );

    /// # Safety
    /// AVX2 is there.
    #[inline(always)]
    unsafe fn fold256(x: __m256, f: impl Fn(f32, f32) -> f32) -> f32 {
        let mut lanes = [0.0f32; 8];
        // SAFETY: there is room for eight; the rest is the caller's promise.
        unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), x) };
        let pairs: [f32; 4] = std::array::from_fn(|lane| f(lanes[lane], lanes[lane + 4]));
        f(f(pairs[0], pairs[2]), f(pairs[1], pairs[3]))
    }
}

/// Calls a function generic over [`Vector`] through an entry point for the instruction set that this machine has.
macro_rules! dispatch {
    ($function:ident ( $($argument:ident : $type:ty),* $(,)? ) $(-> $result:ty)?) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        unsafe fn avx2($($argument: $type),*) $(-> $result)? {
            // SAFETY: the caller has found AVX2 and FMA, and keeps the function's own contract.
            unsafe { $function::<$crate::vector::x86::Avx2>($($argument),*) }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx2,fma")]
        unsafe fn avx512($($argument: $type),*) $(-> $result)? {
            // SAFETY: the caller has found AVX-512F, and keeps the function's own contract.
            unsafe { $function::<$crate::vector::x86::Avx512>($($argument),*) }
        }
        match $crate::isa::isa() {
            // SAFETY: `isa` found the instruction set; the rest is what whoever dispatches has to keep.
            #[cfg(target_arch = "x86_64")]
            $crate::Isa::Avx512 => unsafe { avx512($($argument),*) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            $crate::Isa::Avx2 => unsafe { avx2($($argument),*) },
            // SAFETY: plain arithmetic needs no instruction set.
            $crate::Isa::Portable => unsafe { $function::<$crate::vector::Portable>($($argument),*) },
        }
    }};
}
pub(crate) use dispatch;
