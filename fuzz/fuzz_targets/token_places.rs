//! See [`lockgate_fuzz::token_places`].
#![cfg_attr(fuzzing, no_main)]

lockgate_fuzz::target!(token_places);
