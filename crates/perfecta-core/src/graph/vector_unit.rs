//! Plain loops, compiled again for each vector unit, one of which is chosen when the program runs.

/// What the CPU can do beyond its target's baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VectorUnit {
    /// AVX-512 with its byte, word, double- and quadword parts.
    #[cfg(target_arch = "x86_64")]
    Avx512(detected::Avx512),
    /// AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx2(detected::Avx2),
    /// What the target always has.
    Baseline,
}

#[cfg(target_arch = "x86_64")]
mod detected {
    /// Only made where the CPU was seen to have AVX2 and the bit operations beside it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(in crate::graph) struct Avx2(());

    /// Only made where the CPU was seen to have AVX-512, and what [`Avx2`] stands for.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(in crate::graph) struct Avx512(());

    #[cfg(feature = "std")]
    impl Avx2 {
        pub(super) fn detect() -> Option<Self> {
            let seen = std::arch::is_x86_feature_detected!("avx2")
                && std::arch::is_x86_feature_detected!("bmi1")
                && std::arch::is_x86_feature_detected!("bmi2");
            seen.then_some(Self(()))
        }
    }

    #[cfg(feature = "std")]
    impl Avx512 {
        pub(super) fn detect() -> Option<Self> {
            let seen = std::arch::is_x86_feature_detected!("avx512f")
                && std::arch::is_x86_feature_detected!("avx512bw")
                && std::arch::is_x86_feature_detected!("avx512dq")
                && std::arch::is_x86_feature_detected!("avx512vl")
                && std::arch::is_x86_feature_detected!("avx512cd");
            (seen && Avx2::detect().is_some()).then_some(Self(()))
        }
    }

    #[cfg(not(feature = "std"))]
    impl Avx2 {
        pub(super) fn detect() -> Option<Self> {
            None
        }
    }

    #[cfg(not(feature = "std"))]
    impl Avx512 {
        pub(super) fn detect() -> Option<Self> {
            None
        }
    }
}

impl VectorUnit {
    /// All that this CPU has, the best first.
    pub(super) fn available() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let wider = [
            detected::Avx512::detect().map(Self::Avx512),
            detected::Avx2::detect().map(Self::Avx2),
        ];
        #[cfg(not(target_arch = "x86_64"))]
        let wider: [Option<Self>; 0] = [];
        wider.into_iter().flatten().chain([Self::Baseline])
    }

    /// The best that this CPU has.
    pub(super) fn best() -> Self {
        Self::available().next().unwrap_or(Self::Baseline)
    }

    /// Runs `task`, compiled for this unit as far as it is inlined into here.
    #[inline(always)]
    pub(super) fn run<R>(self, task: impl FnOnce() -> R) -> R {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => {
                // SAFETY: the unit carries the proof of its own kind that the CPU has these features.
                unsafe { run_avx512(task) }
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => {
                // SAFETY: the unit carries the proof of its own kind that the CPU has these features.
                unsafe { run_avx2(task) }
            }
            Self::Baseline => task(),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2")]
fn run_avx2<R>(task: impl FnOnce() -> R) -> R {
    task()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx2,bmi1,bmi2")]
fn run_avx512<R>(task: impl FnOnce() -> R) -> R {
    task()
}
