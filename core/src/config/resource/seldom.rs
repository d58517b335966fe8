//! What most rules do not say: a hundred thousand of them must not each keep room for it.

use alloc::boxed::Box;
use core::ops::{Deref, DerefMut};

/// A `T` that takes no more than a pointer's room as long as it says nothing.
#[derive(Debug, Clone, Default)]
pub struct Seldom<T>(Option<Box<T>>);

/// What can be [`Seldom`].
pub trait SaysNothing: Default + 'static {
    /// One that says nothing.
    const NOTHING: &'static Self;

    /// Whether this one does.
    fn says_nothing(&self) -> bool;
}

impl<T: SaysNothing> From<T> for Seldom<T> {
    fn from(value: T) -> Self {
        Self((!value.says_nothing()).then(|| Box::new(value)))
    }
}

impl<T: SaysNothing> Deref for Seldom<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or(T::NOTHING)
    }
}

impl<T: SaysNothing> DerefMut for Seldom<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}
