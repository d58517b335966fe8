//! See [`lockgate_fuzz::decide_vs_oracle`].
#![cfg_attr(fuzzing, no_main)]

lockgate_fuzz::target!(decide_vs_oracle);
