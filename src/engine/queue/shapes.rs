//! The shapes of what waits, each once, under a number.

use std::{collections::HashMap, sync::Arc};

use crate::engine::matching::Shape;

/// Shapes that are told apart. Requests of further ones are judged one by one: each lane keeps them in a run
/// of their own, which costs what a queue without shapes would.
pub const MOST: usize = 8_192;

/// Names a shape while requests of it wait.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ShapeId(u32);

impl ShapeId {
    /// Requests of various shapes.
    pub const MIXED: Self = Self(u32::MAX);
}

/// The shapes.
pub struct Shapes {
    numbers: HashMap<Arc<Shape>, ShapeId>,
    /// By number: the shape, and how many requests have it.
    known: Vec<(Arc<Shape>, usize)>,
    /// Numbers that nothing has any more.
    free: Vec<ShapeId>,
    most: usize,
}

impl Shapes {
    /// Tells so many apart at most.
    pub fn new(most: usize) -> Self {
        Self { numbers: HashMap::new(), known: Vec::new(), free: Vec::new(), most }
    }

    /// A request of a shape begins to wait: its number.
    pub fn take(&mut self, shape: &Arc<Shape>) -> ShapeId {
        if let Some(id) = self.numbers.get(shape) {
            self.known[id.0 as usize].1 += 1;
            return *id;
        }
        if self.numbers.len() >= self.most {
            return ShapeId::MIXED;
        }
        let id = match self.free.pop() {
            Some(id) => {
                self.known[id.0 as usize] = (shape.clone(), 1);
                id
            }
            None => {
                self.known.push((shape.clone(), 1));
                ShapeId((self.known.len() - 1) as u32)
            }
        };
        self.numbers.insert(shape.clone(), id);
        id
    }

    /// A request under a number waits no more.
    pub fn leave(&mut self, id: ShapeId) {
        let Some((shape, requests)) = self.known.get_mut(id.0 as usize) else { return };
        *requests -= 1;
        if *requests == 0 {
            self.numbers.remove(&*shape);
            self.free.push(id);
        }
    }

    /// The shape of a number; `None`: of various shapes.
    pub fn get(&self, id: ShapeId) -> Option<&Arc<Shape>> {
        self.known.get(id.0 as usize).map(|(shape, _)| shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::models::ModelReference, engine::stage::image_spec};

    fn shape(models: &[&str]) -> Arc<Shape> {
        let models = models.iter().map(|name| Arc::from(*name)).collect();
        let spec = crate::domain::request::Spec { models, ..image_spec(1) };
        Arc::new(Shape::of(&spec, &ModelReference::default()))
    }

    #[test]
    fn a_shape_has_one_number_for_as_long_as_requests_have_it_and_there_are_no_more_than_the_bound() {
        let mut shapes = Shapes::new(2);
        let [a, b, c] = [shape(&["a"]), shape(&["b", "a"]), shape(&[])];
        let (first, second) = (shapes.take(&a), shapes.take(&b));
        assert_ne!(first, second);
        assert_eq!(shapes.take(&shape(&["a", "b", "a"])), second, "the order of models is no matter");
        assert_eq!(shapes.take(&c), ShapeId::MIXED, "past the bound they are not told apart");
        shapes.leave(second);
        assert_eq!(shapes.take(&c), ShapeId::MIXED, "another request still has it");
        shapes.leave(second);
        let third = shapes.take(&c);
        assert_eq!(shapes.get(third), Some(&c), "a number that nothing has is given again");
        assert_eq!((shapes.get(first), shapes.get(ShapeId::MIXED)), (Some(&a), None));
    }
}
