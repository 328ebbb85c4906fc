//! Properties of the compiler over generated clusters: it agrees with the reading of the specification, and the
//! path to a state does not matter: neither from ruleset to ruleset, nor event by event in the engine.

mod agreement;
mod cluster;
mod engine;
mod event;
mod kernel;
mod path;
mod rare;
mod way;
