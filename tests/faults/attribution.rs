//! Whose fault it was: what an origin does wrong is the origin's, wherever in the message it happens.
