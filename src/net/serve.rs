//! Drives one server connection: hyper, with the time limits and the error answers that hyper lacks.
