//! See [`lockgate_fuzz::path`].
#![cfg_attr(fuzzing, no_main)]

lockgate_fuzz::target!(path);
