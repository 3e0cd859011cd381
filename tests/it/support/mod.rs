//! What tests share: a market that does as it is told, whole simulated days, a disk that forgets.

pub mod counted;
pub mod disk;
pub mod exchange;
pub mod followed;
pub mod market;
pub mod outside;
pub mod place;
pub mod process;
pub mod simulation;

/// Numbers that look drawn, the same each time (SplitMix64).
pub fn drawn(seed: u64) -> impl FnMut(i64) -> i64 {
    let mut state = seed;
    move |below| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 1).cast_signed() % below
    }
}
