use super::{BookOrder, OrderNumber};

/// The orders of a book, by number. Numbers only grow, so a new one goes behind the last; they lie in one piece of
/// memory, which a book that is empty again keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Orders {
    books: Vec<BookOrder>,
    /// The group of each order that is not the first of one, and its number; sorted.
    followers: Vec<(OrderNumber, OrderNumber)>,
}

impl Orders {
    pub(super) const fn new() -> Self {
        Self { books: Vec::new(), followers: Vec::new() }
    }

    /// Each order, by number.
    pub fn iter(&self) -> std::slice::Iter<'_, BookOrder> {
        self.books.iter()
    }

    /// The order of this number.
    #[must_use]
    pub fn get(&self, number: OrderNumber) -> Option<&BookOrder> {
        self.place_of(number).ok().and_then(|place| self.books.get(place))
    }

    pub(super) fn get_mut(&mut self, number: OrderNumber) -> Option<&mut BookOrder> {
        self.place_of(number).ok().and_then(|place| self.books.get_mut(place))
    }

    /// The orders of one group, by number.
    pub(super) fn of_group(&self, group: OrderNumber) -> impl Iterator<Item = &BookOrder> {
        let from = self.followers.partition_point(|(other, _)| *other < group);
        let followers = self.followers.iter().skip(from).take_while(move |(other, _)| *other == group);
        self.get(group).into_iter().chain(followers.filter_map(|(_, number)| self.get(*number)))
    }

    /// Puts an order in, in place of one of the same number.
    pub fn insert(&mut self, book: BookOrder) {
        let follower = (book.group, book.number);
        if book.group != book.number
            && let Err(place) = self.followers.binary_search(&follower)
        {
            self.followers.insert(place, follower);
        }
        match self.place_of(book.number) {
            Ok(place) => self.books[place] = book, // where it was just found
            Err(place) => self.books.insert(place, book),
        }
    }

    /// Takes out the orders of these groups, which are sorted.
    pub(super) fn remove_groups(&mut self, groups: &[OrderNumber]) {
        self.books.retain(|book| groups.binary_search(&book.group).is_err());
        self.followers.retain(|(group, _)| groups.binary_search(group).is_err());
    }

    fn place_of(&self, number: OrderNumber) -> Result<usize, usize> {
        self.books.binary_search_by_key(&number, |book| book.number)
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
