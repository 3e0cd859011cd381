use super::{BookOrder, OrderNumber};

/// The orders of a book, by number. Numbers only grow, so a new one goes behind the last; they lie in one piece of
/// memory, which a book that is empty again keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Orders(Vec<BookOrder>);

impl Orders {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Each order, by number.
    pub fn iter(&self) -> std::slice::Iter<'_, BookOrder> {
        self.0.iter()
    }

    /// The order of this number.
    #[must_use]
    pub fn get(&self, number: OrderNumber) -> Option<&BookOrder> {
        self.place_of(number).ok().and_then(|place| self.0.get(place))
    }

    pub(super) fn get_mut(&mut self, number: OrderNumber) -> Option<&mut BookOrder> {
        self.place_of(number).ok().and_then(|place| self.0.get_mut(place))
    }

    /// The orders from this number on.
    pub(super) fn starting_at(&self, number: OrderNumber) -> &[BookOrder] {
        self.0.get(self.place_of(number).unwrap_or_else(|between| between)..).unwrap_or_default()
    }

    /// Puts an order in, in place of one of the same number.
    pub fn insert(&mut self, book: BookOrder) {
        match self.place_of(book.number) {
            Ok(place) => self.0[place] = book, // where it was just found
            Err(place) => self.0.insert(place, book),
        }
    }

    pub(super) fn retain(&mut self, wanted: impl FnMut(&BookOrder) -> bool) {
        self.0.retain(wanted);
    }

    fn place_of(&self, number: OrderNumber) -> Result<usize, usize> {
        self.0.binary_search_by_key(&number, |book| book.number)
    }
}

impl<'a> IntoIterator for &'a Orders {
    type Item = &'a BookOrder;
    type IntoIter = std::slice::Iter<'a, BookOrder>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl FromIterator<BookOrder> for Orders {
    fn from_iter<I: IntoIterator<Item = BookOrder>>(books: I) -> Self {
        let mut orders = Self::new();
        books.into_iter().for_each(|book| orders.insert(book));
        orders
    }
}
