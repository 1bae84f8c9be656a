//! Parser of modules as nvcc prints them, and of the inline assembly inside.

mod variables;

use crate::PtxError;
use crate::ast::{Call, Function, Instruction, Location, Operand, Source, Statement, Variable};
use crate::lex::{Spanned, Token, lex};

pub(crate) fn parse(text: &str) -> Result<Source, PtxError> {
    let mut parser = Parser { tokens: lex(text)?, at: 0 };
    let mut source = Source::default();
    while parser.at < parser.tokens.len() {
        parser.top_level(&mut source)?;
    }
    Ok(source)
}

pub(crate) struct Parser {
    pub tokens: Vec<Spanned>,
    pub at: usize,
}

impl Parser {
    pub fn line(&self) -> u32 {
        self.tokens.get(self.at.min(self.tokens.len().saturating_sub(1))).map_or(0, |t| t.line)
    }

    pub fn error<T>(&self, what: &str) -> Result<T, PtxError> {
        Err(PtxError::syntax(self.line(), what))
    }

    pub fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|t| &t.token)
    }

    fn next(&mut self) -> Result<Token, PtxError> {
        let token = self.tokens.get(self.at).map(|t| t.token.clone());
        self.at += 1;
        token.ok_or_else(|| PtxError::syntax(self.line(), "the text ends too early"))
    }

    pub fn take(&mut self, c: char) -> bool {
        let found = self.peek() == Some(&Token::Punct(c));
        self.at += usize::from(found);
        found
    }

    pub fn expect(&mut self, c: char) -> Result<(), PtxError> {
        if self.take(c) { Ok(()) } else { self.error(&format!("{:?} where {c:?} is expected", self.peek())) }
    }

    pub fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(w)) if w == word);
        self.at += usize::from(found);
        found
    }

    pub fn word(&mut self) -> Result<String, PtxError> {
        match self.next()? {
            Token::Word(word) => Ok(word),
            other => {
                self.at -= 1;
                self.error(&format!("{other:?} where a name is expected"))
            }
        }
    }

    pub fn int(&mut self) -> Result<u64, PtxError> {
        let negative = self.take('-');
        match self.next()? {
            Token::Int(value) => Ok(if negative { value.wrapping_neg() } else { value }),
            other => {
                self.at -= 1;
                self.error(&format!("{other:?} where a number is expected"))
            }
        }
    }

    /// Skips what is left of the present line.
    fn skip_line(&mut self, line: u32) {
        while self.tokens.get(self.at).is_some_and(|t| t.line == line) {
            self.at += 1;
        }
    }

    fn top_level(&mut self, source: &mut Source) -> Result<(), PtxError> {
        let line = self.line();
        let mut linkage = false;
        while self.take_word(".visible") || self.take_word(".weak") || self.take_word(".common") {
            linkage = true;
        }
        let external = self.take_word(".extern");
        let word = self.word()?;
        match word.as_str() {
            ".version" | ".target" | ".address_size" | ".loc" if !linkage && !external => self.skip_line(line),
            ".file" if !linkage && !external => self.file(source, line)?,
            ".section" if !linkage && !external => self.section()?,
            ".entry" => source.functions.push(self.function(true, line)?),
            ".func" => source.functions.push(self.function(false, line)?),
            ".global" | ".const" | ".shared" => {
                let variable = self.variable(external)?;
                self.expect(';')?;
                match word.as_str() {
                    ".global" => source.globals.push(variable),
                    ".const" => source.constants.push(variable),
                    _ => source.shared.push(variable),
                }
            }
            other => return Err(PtxError::syntax(line, &format!("directive {other}"))),
        }
        Ok(())
    }

    fn file(&mut self, source: &mut Source, line: u32) -> Result<(), PtxError> {
        let number = self.int()?;
        let Token::Text(name) = self.next()? else { return self.error("a .file without a name") };
        let stem = name.rsplit('/').next().unwrap_or(&name).to_string();
        source.files.insert(number as u32, stem);
        self.skip_line(line);
        Ok(())
    }

    /// Debug sections hold nothing that runs.
    fn section(&mut self) -> Result<(), PtxError> {
        while !self.take('{') {
            self.next()?;
        }
        while !self.take('}') {
            self.next()?;
        }
        Ok(())
    }

    fn function(&mut self, entry: bool, line: u32) -> Result<Function, PtxError> {
        let results = if !entry && self.peek() == Some(&Token::Punct('(')) { self.parameters()? } else { Vec::new() };
        let name = self.word()?;
        let params = if self.peek() == Some(&Token::Punct('(')) { self.parameters()? } else { Vec::new() };
        let mut max_threads = None;
        loop {
            match self.peek() {
                Some(Token::Word(w)) if w == ".maxntid" || w == ".reqntid" => {
                    self.at += 1;
                    let mut product = self.int()?;
                    while self.take(',') {
                        product *= self.int()?;
                    }
                    max_threads = Some(product as u32);
                }
                Some(Token::Word(w)) if w == ".minnctapersm" || w == ".maxnreg" => {
                    self.at += 1;
                    self.int()?;
                }
                Some(Token::Word(w)) if w == ".noreturn" => self.at += 1,
                _ => break,
            }
        }
        let body = if self.take(';') {
            None
        } else {
            self.expect('{')?;
            Some(self.body()?)
        };
        Ok(Function { name, entry, results, params, body, max_threads, line })
    }

    fn parameters(&mut self) -> Result<Vec<Variable>, PtxError> {
        self.expect('(')?;
        let mut params = Vec::new();
        while !self.take(')') {
            if !self.take_word(".param") {
                return self.error("a parameter that is not .param");
            }
            params.push(self.variable(false)?);
            self.take(',');
        }
        Ok(params)
    }

    fn body(&mut self) -> Result<Vec<Statement>, PtxError> {
        let (mut statements, mut depth) = (Vec::new(), 0);
        loop {
            if self.take('}') {
                if depth == 0 {
                    return Ok(statements);
                }
                depth -= 1;
                statements.push(Statement::Close);
            } else if self.take('{') {
                depth += 1;
                statements.push(Statement::Open);
            } else if !self.take(';') {
                self.statement(&mut statements)?;
            }
        }
    }

    fn statement(&mut self, out: &mut Vec<Statement>) -> Result<(), PtxError> {
        let line = self.line();
        let guard = if self.take('@') {
            let negated = self.take('!');
            Some((self.word()?, negated))
        } else {
            None
        };
        let word = self.word()?;
        if guard.is_none() && self.take(':') {
            if self.take_word(".branchtargets") {
                let mut targets = vec![self.word()?];
                while self.take(',') {
                    targets.push(self.word()?);
                }
                out.push(Statement::Targets(word, targets));
                return self.expect(';');
            }
            out.push(Statement::Label(word));
            return Ok(());
        }
        match word.as_str() {
            ".reg" => self.registers(out)?,
            ".shared" => out.push(Statement::Shared(self.variable(false)?)),
            ".local" => out.push(Statement::Local(self.variable(false)?)),
            ".param" => out.push(Statement::Param(self.variable(false)?)),
            ".pragma" => {
                self.next()?;
            }
            ".loc" => return self.location(out, line),
            "call" | "call.uni" if guard.is_none() => out.push(Statement::Call(self.call(line)?)),
            _ if word.starts_with('.') => return Err(PtxError::syntax(line, &format!("directive {word}"))),
            _ => {
                let operands = self.operands()?;
                out.push(Statement::Instruction(Instruction { guard, opcode: word, operands, line }));
            }
        }
        self.expect(';')
    }

    fn location(&mut self, out: &mut Vec<Statement>, line: u32) -> Result<(), PtxError> {
        let mut location = Location { file: self.int()? as u32, line: self.int()? as u32, inlined_at: None };
        while self.tokens.get(self.at).is_some_and(|t| t.line == line) {
            if self.take_word("inlined_at") {
                location.inlined_at = Some((self.int()? as u32, self.int()? as u32));
            } else {
                self.at += 1;
            }
        }
        out.push(Statement::Location(location));
        Ok(())
    }

    fn registers(&mut self, out: &mut Vec<Statement>) -> Result<(), PtxError> {
        let ty = self.word()?;
        let mut names = Vec::new();
        loop {
            let stem = self.word()?;
            if self.take('<') {
                let count = self.int()?;
                self.expect('>')?;
                if count > 1 << 20 {
                    return self.error("more registers than any kernel has");
                }
                names.extend((0..count).map(|i| format!("{stem}{i}")));
            } else {
                names.push(stem);
            }
            if !self.take(',') {
                break;
            }
        }
        out.push(Statement::Registers(names, ty));
        Ok(())
    }

    /// `(results), callee, (arguments)`; an indirect call has a prototype behind it and is refused.
    fn call(&mut self, line: u32) -> Result<Call, PtxError> {
        let results = if self.peek() == Some(&Token::Punct('(')) { self.names()? } else { Vec::new() };
        self.take(',');
        let callee = self.word()?;
        let arguments = if self.take(',') { self.names()? } else { Vec::new() };
        if callee.starts_with('%') || self.peek() != Some(&Token::Punct(';')) {
            return Err(PtxError::unsupported(line, "call", "indirect calls"));
        }
        Ok(Call { results, callee, arguments, line })
    }

    fn names(&mut self) -> Result<Vec<String>, PtxError> {
        self.expect('(')?;
        let mut names = Vec::new();
        while !self.take(')') {
            names.push(self.word()?);
            self.take(',');
        }
        Ok(names)
    }

    fn operands(&mut self) -> Result<Vec<Operand>, PtxError> {
        let mut operands = Vec::new();
        while self.peek() != Some(&Token::Punct(';')) {
            operands.push(self.operand()?);
            if !self.take(',') {
                break;
            }
        }
        Ok(operands)
    }

    fn operand(&mut self) -> Result<Operand, PtxError> {
        if self.take('{') {
            let mut parts = Vec::new();
            while !self.take('}') {
                parts.push(self.operand()?);
                self.take(',');
            }
            return Ok(Operand::Vector(parts));
        }
        if self.take('[') {
            let base = self.operand()?;
            let address = match base {
                Operand::Sum(name, offset) => Operand::Address(Box::new(Operand::Name(name)), offset),
                base => Operand::Address(Box::new(base), 0),
            };
            self.expect(']')?;
            return Ok(address);
        }
        if self.take('!') {
            return Ok(Operand::Not(self.word()?));
        }
        let negative = self.take('-');
        match self.next()? {
            Token::Int(value) => Ok(Operand::Int(if negative { value.wrapping_neg() } else { value })),
            Token::F32(bits) => Ok(Operand::F32(bits ^ if negative { 1 << 31 } else { 0 })),
            Token::F64(bits) => Ok(Operand::F64(bits ^ if negative { 1 << 63 } else { 0 })),
            Token::Word(name) if !negative => self.named(name),
            other => {
                self.at -= 1;
                self.error(&format!("operand {other:?}"))
            }
        }
    }

    fn named(&mut self, name: String) -> Result<Operand, PtxError> {
        if self.take('|') {
            return Ok(Operand::Pair(name, self.word()?));
        }
        if self.take('+') {
            return Ok(Operand::Sum(name, self.int()? as i64));
        }
        if self.take('-') {
            return Ok(Operand::Sum(name, (self.int()? as i64).wrapping_neg()));
        }
        Ok(Operand::Name(name))
    }
}
