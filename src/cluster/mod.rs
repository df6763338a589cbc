//! Who is in the ring: static members, health, supervision; publishes immutable, epoch-numbered views.

pub mod view;
