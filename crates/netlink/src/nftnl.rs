//! libnftnl's objects, owned. All use of that library is in this file.
//!
//! libnftnl checks neither the length of what it copies nor the room in the buffer that it writes a message to.
//! What makes the functions of this file safe:
//!
//! * An [`Attribute`] names its owner and the shape of its value; every setter compares both before the call.
//! * Every object counts an upper bound of the bytes that its message can take; [`Scratch::build`] makes room
//!   for that many before libnftnl writes.
//! * libnftnl only writes messages; those of the kernel are read in [`crate::parse`].

use std::ffi::{CStr, CString};
use std::ptr::NonNull;

use nftnl_sys as sys;
use nftnl_sys::libc::nlmsghdr;

use crate::attribute::{Attribute, Shape};
use crate::consts::VALUE_BYTES_MAX;

/// Bytes of a netlink header and the nfnetlink header behind it.
pub(crate) const HEADER_BYTES: usize = 20;
/// No attribute needs more than this on top of its value: its own header, those of two nests, and padding.
const ATTRIBUTE_OVERHEAD: usize = 32;

/// Words, so that headers in it are aligned, readable as bytes.
#[derive(Default)]
pub(crate) struct Scratch(Vec<u32>);

impl Scratch {
    pub(crate) fn with_bytes(bytes: usize) -> Self {
        Self(vec![0; bytes.div_ceil(4)])
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: every byte of the words is initialised, and u8 has no alignment.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len() * 4) }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; any bytes are valid words, and the borrow of `self` is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), self.0.len() * 4) }
    }

    /// The bytes of a message about `object`.
    pub(crate) fn build(
        &mut self,
        kind: u16,
        family: u8,
        flags: u16,
        sequence: u32,
        object: &impl Object,
    ) -> &[u8] {
        self.0.clear();
        self.0.resize((HEADER_BYTES + object.bound()).div_ceil(4), 0);
        // SAFETY: the buffer has room for the header and for the upper bound of the payload that the object
        // counted, and is aligned for both.
        unsafe {
            let header =
                sys::nftnl_nlmsg_build_hdr(self.0.as_mut_ptr().cast(), kind, family.into(), flags, sequence);
            object.build(header);
        }
        let length = self.0[0] as usize;
        &self.bytes()[..length]
    }
}

/// What [`Scratch::build`] makes a message of.
pub(crate) trait Object {
    /// The most bytes that [`Object::build`] writes.
    fn bound(&self) -> usize;
    /// Writes the attributes.
    ///
    /// # Safety
    /// Behind `header` there is room for [`Object::bound`] bytes.
    unsafe fn build(&self, header: *mut nlmsghdr);
}

macro_rules! object {
    ($(#[$doc:meta])* $name:ident, $owner:expr, $raw:ident, $free:ident, $set:ident) => {
        $(#[$doc])*
        pub(crate) struct $name {
            raw: NonNull<sys::$raw>,
            bound: usize,
            owner: &'static CStr,
        }

        // Not every kind of object has attributes of every shape.
        #[allow(dead_code)]
        impl $name {
            fn own(raw: *mut sys::$raw, owner: &'static CStr) -> Self {
                Self { raw: NonNull::new(raw).expect("out of memory"), bound: ATTRIBUTE_OVERHEAD, owner }
            }

            fn set(&mut self, attribute: Attribute, shape: Shape, data: &[u8]) -> &mut Self {
                assert!(attribute.shape == shape && attribute.owner == self.owner, "an attribute of something else");
                self.bound += data.len() + ATTRIBUTE_OVERHEAD;
                // SAFETY: the object is ours; the attribute is one of its, of this shape: numbers have 2, 4 or 8 bytes,
                // texts end in NUL, values fit their register (see the callers), and all of them are copied.
                unsafe {
                    sys::$set(self.raw.as_ptr(), attribute.id, data.as_ptr().cast(), data.len() as u32);
                }
                self
            }

            pub(crate) fn set_number(&mut self, attribute: Attribute, number: u32) -> &mut Self {
                self.set(attribute, Shape::Number, &number.to_ne_bytes())
            }

            pub(crate) fn set_short_number(&mut self, attribute: Attribute, number: u16) -> &mut Self {
                self.set(attribute, Shape::ShortNumber, &number.to_ne_bytes())
            }

            pub(crate) fn set_long_number(&mut self, attribute: Attribute, number: u64) -> &mut Self {
                self.set(attribute, Shape::LongNumber, &number.to_ne_bytes())
            }

            pub(crate) fn set_text(&mut self, attribute: Attribute, text: &str) -> &mut Self {
                let text = CString::new(text).expect("names have no NUL");
                self.set(attribute, Shape::Text, text.as_bytes_with_nul())
            }

            pub(crate) fn set_bytes(&mut self, attribute: Attribute, bytes: &[u8]) -> &mut Self {
                self.set(attribute, Shape::Bytes, bytes)
            }

            pub(crate) fn set_value(&mut self, attribute: Attribute, value: &[u8]) -> &mut Self {
                assert!(value.len() <= VALUE_BYTES_MAX, "a value longer than a register");
                self.set(attribute, Shape::Value, value)
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: the object is ours and not used again.
                unsafe { sys::$free(self.raw.as_ptr()) }
            }
        }
    };
}

macro_rules! message {
    ($name:ident, $owner:expr, $alloc:ident, $build:ident) => {
        impl $name {
            pub(crate) fn new() -> Self {
                // SAFETY: no arguments; null is checked for.
                Self::own(unsafe { sys::$alloc() }, $owner)
            }
        }

        impl Object for $name {
            fn bound(&self) -> usize {
                self.bound
            }

            unsafe fn build(&self, header: *mut nlmsghdr) {
                // SAFETY: the caller promises the room. The object is not changed, whatever the C type says.
                unsafe { sys::$build(header, self.raw.as_ptr()) }
            }
        }
    };
}

object!(
    /// A table.
    Table, c"table", nftnl_table, nftnl_table_free, nftnl_table_set_data
);
message!(Table, c"table", nftnl_table_alloc, nftnl_table_nlmsg_build_payload);
object!(
    /// A chain, without its rules.
    Chain, c"chain", nftnl_chain, nftnl_chain_free, nftnl_chain_set_data
);
message!(Chain, c"chain", nftnl_chain_alloc, nftnl_chain_nlmsg_build_payload);
object!(
    /// A rule with its expressions.
    Rule, c"rule", nftnl_rule, nftnl_rule_free, nftnl_rule_set_data
);
message!(Rule, c"rule", nftnl_rule_alloc, nftnl_rule_nlmsg_build_payload);
object!(
    /// A set or map: its definition, or (see [`Elements`]) some of its elements.
    Set, c"set", nftnl_set, nftnl_set_free, nftnl_set_set_data
);
message!(Set, c"set", nftnl_set_alloc, nftnl_set_nlmsg_build_payload);
object!(
    /// An expression of a rule, before it is added.
    Expression, c"expression", nftnl_expr, nftnl_expr_free, nftnl_expr_set
);

impl Rule {
    /// Appends an expression.
    pub(crate) fn add(&mut self, expression: Expression) {
        self.bound += expression.bound;
        // SAFETY: both are ours; the rule owns the expression from here on, so it is not dropped.
        unsafe { sys::nftnl_rule_add_expr(self.raw.as_ptr(), expression.raw.as_ptr()) }
        std::mem::forget(expression);
    }
}

impl Expression {
    /// An expression of one of the kinds in [`crate::attribute`].
    pub(crate) fn new(kind: &'static CStr) -> Self {
        // SAFETY: the name ends in NUL; null (an unknown name) is checked for.
        let mut expression = Self::own(unsafe { sys::nftnl_expr_alloc(kind.as_ptr()) }, kind);
        expression.bound += ATTRIBUTE_OVERHEAD + kind.count_bytes();
        expression
    }

    /// Gives the expression one of its own.
    pub(crate) fn hold(&mut self, attribute: Attribute, expression: Expression) -> &mut Self {
        let fits = attribute.shape == Shape::Expression && attribute.owner == self.owner;
        assert!(fits, "an attribute of something else");
        self.bound += expression.bound + ATTRIBUTE_OVERHEAD;
        // SAFETY: both are ours; of this attribute libnftnl keeps the pointer, and frees it with its owner, so it is not
        // dropped here. The length is not looked at.
        unsafe {
            sys::nftnl_expr_set(self.raw.as_ptr(), attribute.id, expression.raw.as_ptr().cast(), 0);
        }
        std::mem::forget(expression);
        self
    }
}

/// A message that asks for the elements of a set.
pub(crate) struct Elements(Set);

impl Elements {
    /// No elements yet; as a request for a dump that means all.
    pub(crate) fn of(set: Set) -> Self {
        Self(set)
    }
}

impl Object for Elements {
    fn bound(&self) -> usize {
        self.0.bound
    }

    unsafe fn build(&self, header: *mut nlmsghdr) {
        // SAFETY: the caller promises the room. The object is not changed, whatever the C type says.
        unsafe { sys::nftnl_set_elems_nlmsg_build_payload(header, self.0.raw.as_ptr()) }
    }
}
