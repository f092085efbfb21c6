package pebble

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"aorta/store"
)

// maxName is the longest name of a link, log or lease, in bytes.
const maxName = 1 << 10

func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("a name is empty")
	case len(name) > maxName:
		return fmt.Errorf("a name has %d bytes; at most %d are taken", len(name), maxName)
	}
	for _, c := range []byte(name) {
		if c == 0 {
			return errors.New("a name has a zero byte")
		}
	}
	return nil
}

// A link's target is stored with a leading byte, so that an empty target isn't
// an absent one.
const targetMark = 1

// SetLinks implements store.Links.
func (s *Store) SetLinks(ctx context.Context, links ...store.Link) error {
	leave, err := s.enterToWrite(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if len(links) == 0 {
		return nil
	}
	b := s.db.NewBatch()
	defer b.Close()
	for _, l := range links {
		if err := setLink(b, l); err != nil {
			return err
		}
	}
	s.swaps.Lock()
	defer s.swaps.Unlock()
	return s.write("set links", func() error { return b.Commit(pebble.NoSync) })
}

func setLink(b *pebble.Batch, l store.Link) error {
	if err := checkName(l.Name); err != nil {
		return fmt.Errorf("set link: %w", err)
	}
	k := key(keyLink, l.Name)
	if l.Target == nil {
		return b.Delete(k, nil)
	}
	if len(l.Target) > store.MaxLink {
		return fmt.Errorf("set link %s: a target of %d bytes is over the limit of %d", l.Name, len(l.Target), store.MaxLink)
	}
	return b.Set(k, append([]byte{targetMark}, l.Target...), nil)
}

// SwapLink implements store.Links.
func (s *Store) SwapLink(ctx context.Context, name string, old, target []byte) error {
	leave, err := s.enterToWrite(ctx)
	if err != nil {
		return err
	}
	defer leave()
	b := s.db.NewBatch()
	defer b.Close()
	if err := setLink(b, store.Link{Name: name, Target: target}); err != nil {
		return err
	}
	return s.write("swap link "+name, func() error {
		if err := s.swapLink(b, name, old); err != nil {
			return err
		}
		// Others may build on the new target before it is durable: what they
		// write comes after it in the database's log, so it can't outlive it.
		return b.SyncWait()
	})
}

// swapLink applies b if name has the target old.
func (s *Store) swapLink(b *pebble.Batch, name string, old []byte) error {
	s.swaps.Lock()
	defer s.swaps.Unlock()
	have, err := s.link(name)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return unwritten{fmt.Errorf("swap link %s: %w", name, err)}
	}
	if (have == nil) != (old == nil) || !bytes.Equal(have, old) {
		return unwritten{&store.ConflictError{What: "link " + name, Have: describe(have)}}
	}
	return s.db.ApplyNoSyncWait(b, pebble.Sync)
}

func describe(target []byte) string {
	if target == nil {
		return "nothing"
	}
	if len(target) > 32 {
		return fmt.Sprintf("%q and %d bytes more", target[:32], len(target)-32)
	}
	return fmt.Sprintf("%q", target)
}

func (s *Store) link(name string) ([]byte, error) {
	v, err := s.get(key(keyLink, name))
	if err != nil {
		return nil, err
	}
	if len(v) == 0 || v[0] != targetMark {
		return nil, store.ErrCorrupt
	}
	return v[1:], nil
}

func linkAt(it *pebble.Iterator) (store.Link, error) {
	v, err := it.ValueAndErr()
	if err == nil && (len(v) == 0 || v[0] != targetMark) {
		err = store.ErrCorrupt
	}
	if err != nil {
		return store.Link{}, err
	}
	// Not nil, even when empty: nil stands for no target.
	target := append(make([]byte, 0, len(v)-1), v[1:]...)
	return store.Link{Name: string(it.Key()[1:]), Target: target}, nil
}

// Link implements store.Links.
func (s *Store) Link(ctx context.Context, name string) ([]byte, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	v, err := s.link(name)
	if err != nil {
		return nil, fmt.Errorf("link %s: %w", name, err)
	}
	return v, nil
}

// LinksIn implements store.Links.
func (s *Store) LinksIn(ctx context.Context, prefix, from string, reverse bool) iter.Seq2[store.Link, error] {
	return func(yield func(store.Link, error) bool) {
		leave, err := s.enter(ctx)
		if err != nil {
			yield(store.Link{}, err)
			return
		}
		defer leave()
		lower, upper := key(keyLink, prefix), end(key(keyLink, prefix))
		if from != "" {
			at := key(keyLink, from)
			if reverse {
				if after := append(at, 0); bytes.Compare(after, upper) < 0 {
					upper = after
				}
			} else if bytes.Compare(at, lower) > 0 {
				lower = at
			}
		}
		it, err := s.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lower, UpperBound: upper})
		if err != nil {
			yield(store.Link{}, readError(err))
			return
		}
		defer it.Close()
		first, next := it.First, it.Next
		if reverse {
			first, next = it.Last, it.Prev
		}
		for ok := first(); ok; ok = next() {
			l, err := linkAt(it)
			if going := s.going(ctx); going != nil {
				err = going
			}
			if err != nil {
				yield(store.Link{}, readError(err))
				return
			}
			if !yield(l, nil) {
				return
			}
		}
		if err := it.Error(); err != nil {
			yield(store.Link{}, readError(err))
		}
	}
}
