//! Properties of the compiler over generated clusters: it agrees with the reading of the specification, and the
//! path to a state does not matter.

mod agreement;
mod cluster;
mod kernel;
mod path;
mod way;
