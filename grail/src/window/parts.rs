//! What a window file is made of: objects with required keys, lists, numbers and strings, and the types that an
//! environment adds. Where they stand is the format's and in `read`.

use super::fault::{Place, ReadError, Result, Step, excerpt, malformed};
use super::lexer::Lexer;
use super::{Integer, Limits, Schema, Shape};
use crate::json::{self, push_f64, push_text, read_f32, read_f64, read_integer};

/// A text being read. After an error, `place` is where it happened.
pub(super) struct Reader<'a> {
    pub(super) lexer: Lexer<'a>,
    pub(super) place: Place,
    pub(super) schema: &'a Schema,
    pub(super) limits: &'a Limits,
}

/// Reads an object whose members, in any order, become variables. What has none of the keys goes to `own`.
macro_rules! members {
    ($reader:ident, $own:expr, { $($key:literal => $name:ident: $read:expr),+ $(,)? }) => {
        $(let mut $name = None;)+
        $reader.lexer.expect(b'{', "an object")?;
        let mut is_first = true;
        while let Some(key) = $reader.key(&mut is_first)? {
            match key.as_str() {
                $($key => $reader.once($key, &mut $name, $read)?,)+
                _ => $own.member($reader, &key)?,
            }
        }
        $(let $name = $reader.required($key, $name)?;)+
    };
}
pub(super) use members;

/// The members that an environment puts into an object, as canonical JSON.
pub(super) struct Own {
    fields: &'static [(&'static str, Shape)],
    values: Vec<Option<String>>,
}

impl Own {
    pub(super) fn new(fields: &'static [(&'static str, Shape)]) -> Self {
        Self { fields, values: vec![None; fields.len()] }
    }

    pub(super) fn none() -> Self {
        Self::new(&[])
    }

    pub(super) fn member(&mut self, reader: &mut Reader, key: &str) -> Result<()> {
        let mut fields = self.fields.iter().zip(&mut self.values);
        match fields.find(|((name, _), _)| *name == key) {
            Some((&(name, shape), value)) => reader.once(name, value, |r| r.shaped(shape)),
            None => Err(malformed("no other key", format!("\"{}\"", excerpt(key.as_bytes())))),
        }
    }

    pub(super) fn values(self, reader: &mut Reader) -> Result<Vec<String>> {
        self.fields.iter().zip(self.values).map(|(&(name, _), value)| reader.required(name, value)).collect()
    }
}

/// Objects and lists.
impl Reader<'_> {
    pub(super) fn per_token<T>(&mut self, item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let limit = self.limits.positions;
        self.items("entries of a list per token", limit, item)
    }

    pub(super) fn items<T>(
        &mut self,
        what: &'static str,
        limit: usize,
        mut item: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut items = Vec::new();
        self.list(|reader, i| {
            if i >= limit {
                return Err(ReadError::OverCap { what, limit: limit as u64 });
            }
            items.push(item(reader)?);
            Ok(())
        })?;
        items.shrink_to_fit();
        Ok(items)
    }

    pub(super) fn list(&mut self, mut item: impl FnMut(&mut Self, usize) -> Result<()>) -> Result<()> {
        self.lexer.expect(b'[', "a list")?;
        let mut count = 0;
        while !self.lexer.take(b']')? {
            if count > 0 {
                self.lexer.expect(b',', "`,` or `]`")?;
            }
            self.place.enter(Step::Item(count));
            item(self, count)?;
            self.place.leave();
            count += 1;
        }
        Ok(())
    }

    /// The next member's key, up to the colon; `None` at the object's end.
    pub(super) fn key(&mut self, is_first: &mut bool) -> Result<Option<String>> {
        if self.lexer.take(b'}')? {
            return Ok(None);
        }
        if !std::mem::replace(is_first, false) {
            self.lexer.expect(b',', "`,` or `}`")?;
        }
        let key = self.lexer.text("a key")?;
        self.lexer.expect(b':', "`:`")?;
        Ok(Some(key))
    }

    pub(super) fn once<T>(
        &mut self,
        key: &'static str,
        slot: &mut Option<T>,
        read: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<()> {
        self.place.enter(Step::Key(key));
        if slot.is_some() {
            return Err(malformed("this key once", "it again"));
        }
        *slot = Some(read(self)?);
        self.place.leave();
        Ok(())
    }

    pub(super) fn required<T>(&mut self, key: &'static str, slot: Option<T>) -> Result<T> {
        slot.ok_or_else(|| {
            self.place.enter(Step::Key(key));
            malformed("this key", "none")
        })
    }
}

/// Values.
impl Reader<'_> {
    pub(super) fn text(&mut self) -> Result<String> {
        self.lexer.text("a string")
    }

    pub(super) fn bool(&mut self) -> Result<bool> {
        self.lexer.word("true or false", |word| word.parse().ok())
    }

    pub(super) fn real(&mut self) -> Result<f64> {
        self.lexer.word("a finite number", read_f64)
    }

    pub(super) fn logprob(&mut self) -> Result<f32> {
        self.lexer.word("a number that is an f32", read_f32)
    }

    pub(super) fn integer(&mut self) -> Result<Integer> {
        self.lexer.word("an integer", integer)
    }

    pub(super) fn below(&mut self, bound: u32, expected: &str) -> Result<u32> {
        let read = |word: &str| u32::try_from(integer(word)?).ok().filter(|&value| value < bound);
        self.lexer.word(expected, read)
    }

    /// A value of an environment's type as the writer writes it.
    pub(super) fn shaped(&mut self, shape: Shape) -> Result<String> {
        let mut out = String::new();
        self.push_shaped(shape, &mut out)?;
        out.shrink_to_fit();
        Ok(out)
    }

    pub(super) fn push_shaped(&mut self, shape: Shape, out: &mut String) -> Result<()> {
        match shape {
            Shape::Bool => out.push_str(if self.bool()? { "true" } else { "false" }),
            // The grammar gives each integer one text.
            Shape::Integer => self.lexer.word("an integer", |word| read_integer(word).map(|_| out.push_str(word)))?,
            Shape::Real => push_f64(out, self.real()?),
            Shape::Text => push_text(out, &self.text()?),
            Shape::List(&item) => self.push_list(out, |reader, out| reader.push_shaped(item, out))?,
        }
        Ok(())
    }

    pub(super) fn push_list(
        &mut self,
        out: &mut String,
        mut push: impl FnMut(&mut Self, &mut String) -> Result<()>,
    ) -> Result<()> {
        out.push('[');
        self.list(|reader, i| {
            if i > 0 {
                out.push(',');
            }
            push(reader, out)
        })?;
        out.push(']');
        Ok(())
    }
}

/// The nearest value of an integer's text.
fn integer(word: &str) -> Option<Integer> {
    Some(match read_integer(word)? {
        json::Integer::Value(value) => value,
        json::Integer::Huge if word.starts_with('-') => Integer::MIN,
        json::Integer::Huge => Integer::MAX,
    })
}
