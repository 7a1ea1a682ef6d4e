package strictjson

import "hash/maphash"

// A nameSet holds the names of the members of all objects of a text, in a hash table with a random
// seed, so that colliding names can't be chosen.
type nameSet struct {
	seed  maphash.Seed
	slots []nameSlot // a power of two, and more than half of them are free
	names [][]byte
}

// A nameSlot is where one name is; object is 0 in a free one.
type nameSlot struct {
	object, name int32 // which object has the name, and where it is among names
	hash         uint64
}

func (s *nameSet) clear() {
	clear(s.slots)
	s.names = s.names[:0]
}

// add adds a name to an object's, and reports whether it was there already.
func (s *nameSet) add(object int32, name []byte) bool {
	if 2*(len(s.names)+1) > len(s.slots) {
		s.grow()
	}
	// the same name in another object goes elsewhere
	hash := maphash.Bytes(s.seed, name) + uint64(object)*0x9e3779b97f4a7c15
	slot := s.probe(hash, func(other nameSlot) bool {
		return other.object == object && other.hash == hash &&
			string(s.names[other.name]) == string(name)
	})
	if slot == nil {
		return true
	}
	*slot = nameSlot{object, int32(len(s.names)), hash}
	s.names = append(s.names, name)
	return false
}

// probe returns the free slot for a hash, or nil if it comes past a slot that is found.
func (s *nameSet) probe(hash uint64, found func(nameSlot) bool) *nameSlot {
	for i := hash; ; i++ {
		slot := &s.slots[i&uint64(len(s.slots)-1)]
		switch {
		case slot.object == 0:
			return slot
		case found(*slot):
			return nil
		}
	}
}

func (s *nameSet) grow() {
	old := s.slots
	if old == nil {
		s.seed, s.names = maphash.MakeSeed(), make([][]byte, 0, 32)
	}
	s.slots = make([]nameSlot, max(64, 4*len(old)))
	for _, slot := range old {
		if slot.object != 0 {
			*s.probe(slot.hash, func(nameSlot) bool { return false }) = slot
		}
	}
}
