//! Where in a file its mutants go.

use std::cmp::Reverse;
use std::ops::Range;

use proc_macro2::LineColumn;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::mutant::{Genre, Mutant};

/// A part of a file that is changed by one or more mutants. Ranges are of bytes.
pub struct Site<'a> {
    pub range: Range<usize>,
    pub shape: Shape,
    pub mutants: Vec<&'a Mutant>,
}

/// What the part is.
pub enum Shape {
    /// The opening brace of a function.
    Body,
    /// The last expression of a function that returns some iterator: of what type, only that expression says, and a
    /// `return` before it could not agree.
    Iterator,
    /// An operator between two operands.
    Binary { operator: Range<usize> },
    /// An operator before its operand.
    Unary { operand: Range<usize> },
    /// The pattern of an arm, with its guard when it has one.
    Arm { pattern: Range<usize>, guard: Option<Range<usize>> },
    /// A field of a struct expression that has a base; no value when it is that of a variable of the field's name.
    Field { name: String, value: Option<Range<usize>>, base: Range<usize> },
}

/// The sites, those around others first. A mutant that could not be switched has none.
pub fn sites<'a>(source: &str, mutants: &[&'a Mutant]) -> Vec<Site<'a>> {
    let file = syn::parse_file(source).expect("what compiles parses");
    let mut finder = Finder { source, mutants, sites: Vec::new() };
    finder.visit_file(&file);
    finder.sites.sort_by_key(|site| (site.range.start, Reverse(site.range.end)));
    finder.sites
}

struct Finder<'s, 'a> {
    source: &'s str,
    mutants: &'s [&'a Mutant],
    sites: Vec<Site<'a>>,
}

fn bytes(of: &impl Spanned) -> Range<usize> {
    of.span().byte_range()
}

impl<'a> Finder<'_, 'a> {
    fn of(&self, genre: Genre, LineColumn { line, column }: LineColumn) -> Vec<&'a Mutant> {
        let is_here = |it: &&&Mutant| it.genre == genre && it.start() == (line, column + 1);
        self.mutants.iter().filter(is_here).copied().collect()
    }

    fn add(&mut self, range: Range<usize>, shape: Shape, mutants: Vec<&'a Mutant>) {
        if !mutants.is_empty() {
            self.sites.push(Site { range, shape, mutants });
        }
    }

    /// The body of a function is known by where its first statement begins.
    fn body(&mut self, block: &syn::Block) {
        let (Some(first), Some(last)) = (block.stmts.first(), block.stmts.last()) else { return };
        let mutants = self.of(Genre::FnValue, first.span().start());
        let (opaque, plain): (Vec<_>, Vec<_>) = mutants.into_iter().partition(|it| it.returns_opaque());
        self.add(block.brace_token.span.open().byte_range(), Shape::Body, plain);
        if let syn::Stmt::Expr(last, None) = last {
            let empty = opaque.into_iter().filter(|it| it.replacement == "::std::iter::empty()").collect();
            self.add(bytes(last), Shape::Iterator, empty);
        }
    }
}

impl<'ast> Visit<'ast> for Finder<'_, '_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.body(&item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.body(&item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        item.default.iter().for_each(|block| self.body(block));
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_expr_binary(&mut self, expression: &'ast syn::ExprBinary) {
        // Among conditions with `let`, nothing but `&&` may stand.
        if !has_let(&expression.left) && !has_let(&expression.right) {
            let mutants = self.of(Genre::BinaryOperator, expression.op.span().start());
            self.add(bytes(expression), Shape::Binary { operator: bytes(&expression.op) }, mutants);
        }
        visit::visit_expr_binary(self, expression);
    }

    fn visit_expr_unary(&mut self, expression: &'ast syn::ExprUnary) {
        let mutants = self.of(Genre::UnaryOperator, expression.op.span().start());
        self.add(bytes(expression), Shape::Unary { operand: bytes(&expression.expr) }, mutants);
        visit::visit_expr_unary(self, expression);
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        let mut mutants = self.of(Genre::MatchArm, arm.span().start());
        let pattern = bytes(&arm.pat);
        let guard = arm.guard.as_ref().map(|(_, guard)| guard);
        mutants.extend(guard.into_iter().flat_map(|it| self.of(Genre::MatchArmGuard, it.span().start())));
        let guard = guard.map(bytes);
        let end = guard.as_ref().unwrap_or(&pattern).end;
        self.add(pattern.start..end, Shape::Arm { pattern, guard }, mutants);
        visit::visit_arm(self, arm);
    }

    fn visit_expr_struct(&mut self, expression: &'ast syn::ExprStruct) {
        for (field, base) in expression.fields.iter().zip(expression.rest.iter().cycle()) {
            let shape = Shape::Field {
                name: self.source[bytes(&field.member)].to_owned(),
                value: field.colon_token.map(|_| bytes(&field.expr)),
                base: bytes(base),
            };
            self.add(bytes(field), shape, self.of(Genre::StructField, field.span().start()));
        }
        visit::visit_expr_struct(self, expression);
    }
}

fn has_let(expression: &syn::Expr) -> bool {
    match expression {
        syn::Expr::Let(_) => true,
        syn::Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}
