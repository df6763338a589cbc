//! Trust: who may do what on which port.
