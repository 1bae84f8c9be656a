//! `grail rollouts`, `verify`, `inspect`, `soak` and `export` as they are called: what one writes the others judge, and
//! nothing about the machine changes what is written.

mod dataset;
mod export;
mod judged;
mod made;
