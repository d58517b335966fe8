//! base64url without padding (RFC 7515 §2), decoded as fast as the processor can: most of a token is it.

use alloc::vec::Vec;

use base64::Engine;

/// The bytes, unless they are written in another way than the one there is; with room for more to follow.
pub(super) fn decode(text: &[u8], room: usize) -> Option<Vec<u8>> {
    let bytes_max = text.len().div_ceil(4).saturating_mul(3);
    let mut bytes = Vec::with_capacity(bytes_max.saturating_add(room));
    engine().decode_vec(text, &mut bytes).ok()?;
    Some(bytes)
}

/// Which instructions the processor has, only `std` can tell.
#[cfg(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64")))]
fn engine() -> &'static impl Engine {
    use base64::engine::Simd;
    use base64::engine::general_purpose::NO_PAD;
    use std::sync::LazyLock;

    static ENGINE: LazyLock<Simd> = LazyLock::new(|| Simd::url_safe(NO_PAD));
    &*ENGINE
}

#[cfg(not(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64"))))]
fn engine() -> &'static impl Engine {
    &base64::engine::general_purpose::URL_SAFE_NO_PAD
}
