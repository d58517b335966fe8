//! See [`lockgate_fuzz::splice`].
#![cfg_attr(fuzzing, no_main)]

lockgate_fuzz::target!(splice);
