//! See [`lockgate_fuzz::token`].
#![cfg_attr(fuzzing, no_main)]

lockgate_fuzz::target!(token);
