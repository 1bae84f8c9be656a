//! Declarations of variables, with their initialisers.

use super::Parser;
use crate::PtxError;
use crate::ast::{Operand, Variable};
use crate::lex::Token;
use crate::types::Ty;

impl Parser {
    /// A declaration behind its state space: `.align 4 .b8 name[16] = {..}`.
    pub(super) fn variable(&mut self, external: bool) -> Result<Variable, PtxError> {
        let line = self.line();
        let mut align = None;
        let mut element: Option<Ty> = None;
        loop {
            if self.take_word(".align") {
                align = Some(self.int()?);
            } else if self.take_word(".ptr") || self.take_word(".attribute") {
                return self.error("a parameter attribute");
            } else if matches!(self.peek(), Some(Token::Word(w)) if w.starts_with('.')) {
                let word = self.word()?;
                element = Ty::parse(&word[1..]).filter(|ty| *ty != Ty::PRED);
                if element.is_none() {
                    return Err(PtxError::syntax(line, &format!("element type {word}")));
                }
            } else {
                break;
            }
        }
        let Some(element) = element else { return self.error("a variable without a type") };
        let name = self.word()?;
        let mut count = 1;
        while self.take('[') {
            if self.peek() == Some(&Token::Punct(']')) {
                count = 0;
            } else {
                count *= self.int()?;
            }
            self.expect(']')?;
        }
        let bytes = count * element.bytes();
        let value = if self.take('=') { Some(self.initialiser(element, bytes)?) } else { None };
        Ok(Variable { name, align: align.unwrap_or(element.bytes()), bytes, value, external, line })
    }

    fn initialiser(&mut self, element: Ty, bytes: u64) -> Result<Vec<u8>, PtxError> {
        let mut value = Vec::new();
        let mut depth = 0;
        loop {
            if self.take('{') {
                depth += 1;
            } else if self.take('}') {
                depth -= 1;
            } else if !self.take(',') {
                let bits = match self.operand()? {
                    Operand::Int(bits) | Operand::F64(bits) => bits,
                    Operand::F32(bits) => u64::from(bits),
                    _ => return self.error("an initialiser that is not a number"),
                };
                value.extend_from_slice(&bits.to_le_bytes()[..element.bytes() as usize]);
            }
            if depth == 0 {
                break;
            }
        }
        if value.len() as u64 > bytes {
            return self.error("an initialiser longer than its variable");
        }
        value.resize(bytes as usize, 0);
        Ok(value)
    }
}
