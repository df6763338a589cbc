//! One client in a loop against an origin that breaks off, and nobody else notices.
