use super::oracle::{self, Twist};
use super::{Draw, bits};
