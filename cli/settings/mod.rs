//! Where a setting comes from: flag, else environment variable, else `.env`, else the file of settings, else default.
//!
//! Values from elsewhere are put into the command line as if they had been typed there, so clap judges them by the rules
//! it has for typed ones: parsers, requirements, groups. Two things clap cannot do are done here first: a value that
//! contradicts one of a higher place gives way to it, and a value that its flag refuses is told with where it stands.
//! clap itself never reads a variable: for it a variable is as good as a typed flag.
//!
//! Not a store of configuration: nothing is kept, merged between files, or written.

mod call;
mod dotenv;
mod file;
mod layers;
mod line;
mod nearest;
#[cfg(test)]
mod tests;

pub use call::{Resolution, Stop, explain, parse};
pub use dotenv::Variables;
pub use layers::{Setting, Shown, Source};
