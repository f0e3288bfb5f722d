//! Networks without tensors: what an RT-DETR does, on paper, by integer arithmetic on shapes alone.

pub mod import;
