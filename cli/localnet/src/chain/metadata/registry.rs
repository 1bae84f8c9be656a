//! Types from their text: `Vec<(H256, u64)>` becomes an id of a portable registry.

use std::collections::BTreeMap;

use scale_info::form::PortableForm;
use scale_info::interner::UntrackedSymbol;
use scale_info::{
    Field, Path, PortableRegistry, PortableRegistryBuilder, Type, TypeDef, TypeDefArray, TypeDefCompact,
    TypeDefComposite, TypeDefPrimitive, TypeDefSequence, TypeDefTuple, TypeDefVariant, TypeParameter, Variant,
};

use super::definitions::{self, Shape};

/// A type's id inside the registry, in the form that metadata structures hold.
pub(super) type Id = UntrackedSymbol<std::any::TypeId>;

/// One variant of an enum, call, event or error: index, name, fields as text (`name: Type as SourceText`).
pub(super) type VariantText<'a> = (u8, &'a str, &'a [&'a str]);

/// Collects types as they are named.
#[derive(Default)]
pub(super) struct Registry {
    builder: PortableRegistryBuilder,
    known: BTreeMap<String, u32>,
}

impl Registry {
    /// The id of the type written as `text`.
    ///
    /// The texts are constants of this module's tables; one that names nothing is a mistake in a table, which
    /// the tests of the metadata would meet first.
    pub fn id(&mut self, text: &str) -> Id {
        let text = text.trim();
        if let Some(&id) = self.known.get(text) {
            return id.into();
        }
        let ty = self.parse(text);
        self.insert(text, ty)
    }

    /// Registers a type under a name that other texts may use.
    pub fn insert(&mut self, name: &str, ty: Type<PortableForm>) -> Id {
        let id = self.builder.register_type(ty);
        self.known.insert(name.to_owned(), id);
        id.into()
    }

    /// An enum with these variants, registered under the last part of its path.
    pub fn variant_type(
        &mut self,
        name: &str,
        path: &str,
        params: &[(&str, Option<&str>)],
        variants: &[VariantText],
    ) -> Id {
        let variants =
            variants.iter().map(|(index, name, fields)| self.variant(*index, name, fields)).collect::<Vec<_>>();
        let ty = self.named(path, params, TypeDefVariant::new(variants));
        self.insert(name, ty)
    }

    /// A struct with these fields, registered under `name`.
    pub fn struct_type(&mut self, name: &str, path: &str, params: &[(&str, Option<&str>)], fields: &[&str]) -> Id {
        let fields = fields.iter().map(|text| self.field(text)).collect::<Vec<_>>();
        let ty = self.named(path, params, TypeDefComposite::new(fields));
        self.insert(name, ty)
    }

    pub fn finish(self) -> PortableRegistry {
        self.builder.finish()
    }

    fn variant(&mut self, index: u8, name: &str, fields: &[&str]) -> Variant<PortableForm> {
        let fields = fields.iter().map(|text| self.field(text)).collect();
        Variant { name: name.to_owned(), fields, index, docs: vec![] }
    }

    /// `name: Type as SourceText`; the name may be missing, the source text is the type's text by default.
    fn field(&mut self, text: &str) -> Field<PortableForm> {
        let (name, rest) = match text.split_once(": ") {
            Some((name, rest)) => (Some(name.to_owned()), rest),
            None => (None, text),
        };
        let (ty, source) = rest.split_once(" as ").unwrap_or((rest, rest));
        Field { name, ty: self.id(ty), type_name: Some(source.to_owned()), docs: vec![] }
    }

    fn parse(&mut self, text: &str) -> Type<PortableForm> {
        if let Some(primitive) = primitive(text) {
            return unnamed(primitive);
        }
        if let Some(inner) = enclosed(text, "(", ")") {
            let fields = split(inner).into_iter().map(|part| self.id(part)).collect::<Vec<_>>();
            return unnamed(TypeDefTuple::new_portable(fields));
        }
        if let Some((element, length)) = enclosed(text, "[", "]").and_then(|inner| inner.rsplit_once("; ")) {
            let length = length.parse().expect("array lengths of the tables are numbers");
            return unnamed(TypeDefArray::new(length, self.id(element)));
        }
        if let Some(inner) = enclosed(text, "Vec<", ">") {
            return unnamed(TypeDefSequence::new(self.id(inner)));
        }
        if let Some(inner) = enclosed(text, "Compact<", ">") {
            return unnamed(TypeDefCompact::new(self.id(inner)));
        }
        self.parse_named(text)
    }

    fn parse_named(&mut self, text: &str) -> Type<PortableForm> {
        if let Some(inner) = enclosed(text, "Option<", ">") {
            let some: &[&str] = &[&format!("{inner} as T")];
            let variants = vec![self.variant(0, "None", &[]), self.variant(1, "Some", some)];
            return self.named("Option", &[("T", Some(inner))], TypeDefVariant::new(variants));
        }
        if let Some(inner) = enclosed(text, "BoundedVec<", ">") {
            let fields = [self.field(&format!("Vec<{inner}> as Vec<T>"))];
            let path = "bounded_collections::bounded_vec::BoundedVec";
            return self.named(path, &[("T", Some(inner)), ("S", None)], TypeDefComposite::new(fields));
        }
        if let Some(inner) = enclosed(text, "Cow<", ">") {
            let fields = [self.field(&format!("{inner} as T"))];
            return self.named("Cow", &[("T", Some(inner))], TypeDefComposite::new(fields));
        }
        let Some(definition) = definitions::find(text) else {
            panic!("the metadata tables name a type that they do not define: {text}")
        };
        match &definition.shape {
            Shape::Struct(fields) => {
                let fields = fields.iter().map(|field| self.field(field)).collect::<Vec<_>>();
                self.named(definition.path, definition.params, TypeDefComposite::new(fields))
            }
            Shape::Enum(variants) => {
                let variants =
                    variants.iter().map(|(index, name, fields)| self.variant(*index, name, fields)).collect::<Vec<_>>();
                self.named(definition.path, definition.params, TypeDefVariant::new(variants))
            }
            Shape::Made(variants) => {
                let variants = variants()
                    .iter()
                    .map(|(index, name, fields)| {
                        let fields = fields.iter().map(String::as_str).collect::<Vec<_>>();
                        self.variant(*index, name, &fields)
                    })
                    .collect::<Vec<_>>();
                self.named(definition.path, definition.params, TypeDefVariant::new(variants))
            }
        }
    }

    fn named(
        &mut self,
        path: &str,
        params: &[(&str, Option<&str>)],
        definition: impl Into<TypeDef<PortableForm>>,
    ) -> Type<PortableForm> {
        let params = params
            .iter()
            .map(|(name, ty)| TypeParameter::new_portable((*name).to_owned(), ty.map(|ty| self.id(ty))))
            .collect::<Vec<_>>();
        let path = Path { segments: path.split("::").map(str::to_owned).collect() };
        Type::new(path, params, definition, vec![])
    }
}

fn unnamed(definition: impl Into<TypeDef<PortableForm>>) -> Type<PortableForm> {
    Type::new(Path { segments: vec![] }, [], definition, vec![])
}

fn primitive(text: &str) -> Option<TypeDefPrimitive> {
    Some(match text {
        "bool" => TypeDefPrimitive::Bool,
        "str" => TypeDefPrimitive::Str,
        "u8" => TypeDefPrimitive::U8,
        "u16" => TypeDefPrimitive::U16,
        "u32" => TypeDefPrimitive::U32,
        "u64" => TypeDefPrimitive::U64,
        "u128" => TypeDefPrimitive::U128,
        "i128" => TypeDefPrimitive::I128,
        _ => return None,
    })
}

fn enclosed<'a>(text: &'a str, open: &str, close: &str) -> Option<&'a str> {
    text.strip_prefix(open)?.strip_suffix(close)
}

/// The parts of a comma-separated list, not looking inside brackets.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (vec![], 0usize, 0);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'<' => depth += 1,
            b')' | b']' | b'>' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    if !text[start..].trim().is_empty() {
        parts.push(text[start..].trim());
    }
    parts
}
