//! Facts first, numbers afterwards.
//!
//! A forward pass leaves a [`Trace`]: a list of [`Op`]s (what ran, on which shapes, with which parameters, how long) and
//! of the parameters that the model owns. A trace holds **facts, never FLOPs**. A [`Convention`] is a table that says for
//! every kind of operation what one counting tool sees and how it counts; [`count`] applies it and gives a [`Count`].
//! Nothing in this crate knows candle, so a trace saved yesterday is counted again without a model.
//!
//! Units: a MAC is one multiplication whose product is accumulated; a FLOP is one multiplication, addition, division,
//! comparison or transcendental. Numbers are exact integers; formatting happens in `detrace-report` only.

mod convention;
pub mod conventions;
mod count;
mod diff;
pub mod explain;
mod kind;
mod op;
mod structure;
mod trace;
mod tree;
mod view;

pub use convention::{Besides, Convention, CustomOps, CustomRule, Rule, Unit, Verdict, Work};
pub use count::{Audit, AuditOp, Count, CountError, Row, Uncalled, count, count_as};
pub use diff::{Agreement, Call, Diff, DiffRow, Explained, Joined, ParamDiff, Reason, Side, Tally, diff, is_product};
pub use kind::Kind;
pub use op::{Attrs, BadOp, Op, Param, ParamRole, Program, Shape, numel};
pub use structure::Structure;
pub use trace::{Block, Meta, SCHEMA, Timing, Trace, TraceError};
pub use tree::{Group, group_by_block};
pub use view::{Form, Framework, Standing, View};
