//! Readers that read nothing, or slowly, of bodies that are held for them.
