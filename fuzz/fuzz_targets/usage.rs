//! See [`lockgate_fuzz::usage`].
#![cfg_attr(fuzzing, no_main)]

lockgate_fuzz::target!(usage);
