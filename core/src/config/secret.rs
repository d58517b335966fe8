//! Text that must never be printed: provider keys on their way to the shell.

use alloc::string::String;
#[cfg(feature = "yaml")]
use alloc::vec::Vec;
use core::fmt;

#[cfg(feature = "yaml")]
use base64::Engine as _;

use zeroize::Zeroize;

/// A secret. It has no `Display`, no `Serialize`, and its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the text over.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// The bytes of a value as Kubernetes writes it: base64, whose line ends do not count.
#[cfg(feature = "yaml")]
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut packed: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let bytes = base64::engine::general_purpose::STANDARD.decode(&packed).ok();
    packed.zeroize();
    bytes
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("«secret»")
    }
}
