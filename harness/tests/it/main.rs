//! What the library and the program do, seen from outside.

mod framing;
