//! What the parser makes of a module: declarations and statements, names not yet resolved.

use std::collections::HashMap;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operand {
    Name(String),
    Not(String),
    Int(u64),
    F32(u32),
    F64(u64),
    /// `{a, b}`
    Vector(Vec<Operand>),
    /// `[base+offset]`, or `name+offset` outside brackets.
    Address(Box<Operand>, i64),
    Sum(String, i64),
    /// `d|p`
    Pair(String, String),
}

#[derive(Clone, Debug)]
pub(crate) struct Instruction {
    /// The predicate's name and whether it is negated.
    pub guard: Option<(String, bool)>,
    pub opcode: String,
    pub operands: Vec<Operand>,
    pub line: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub results: Vec<String>,
    pub callee: String,
    pub arguments: Vec<String>,
    pub line: u32,
}

/// A variable of any state space.
#[derive(Clone, Debug)]
pub(crate) struct Variable {
    pub name: String,
    pub align: u64,
    pub bytes: u64,
    /// Without an initialiser: zero for `.global` and `.const`.
    pub value: Option<Vec<u8>>,
    pub external: bool,
    pub line: u32,
}

#[derive(Clone, Debug)]
pub(crate) enum Statement {
    /// Names and the type's spelling; a `%r<9>` declaration is expanded.
    Registers(Vec<String>, String),
    Shared(Variable),
    Local(Variable),
    Param(Variable),
    Label(String),
    /// Targets of a `brx.idx` under a label.
    Targets(String, Vec<String>),
    Open,
    Close,
    Location(Location),
    Instruction(Instruction),
    Call(Call),
}

/// A `.loc`: file number and line, and where that was inlined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Location {
    pub file: u32,
    pub line: u32,
    pub inlined_at: Option<(u32, u32)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Function {
    pub name: String,
    pub entry: bool,
    pub results: Vec<Variable>,
    pub params: Vec<Variable>,
    pub body: Option<Vec<Statement>>,
    /// Most threads of a block, from `.maxntid` or `.reqntid`.
    pub max_threads: Option<u32>,
    pub line: u32,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    pub globals: Vec<Variable>,
    pub constants: Vec<Variable>,
    pub shared: Vec<Variable>,
    pub functions: Vec<Function>,
    pub files: HashMap<u32, String>,
}
