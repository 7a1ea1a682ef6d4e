package strictjson

import "hash/maphash"

// A nameSet holds the member names of all objects in a text. It is a hash table with a random seed,
// so that an attacker can't choose colliding names.
type nameSet struct {
	seed  maphash.Seed
	slots []nameSlot // the length is a power of two, and at least half of the slots are free
	names [][]byte
}

// A nameSlot holds one name. In a free slot, object is 0.
type nameSlot struct {
	object, name int32 // the object's number, and the index in names
	hash         uint64
}

func (s *nameSet) clear() {
	clear(s.slots)
	s.names = s.names[:0]
}

// add adds a member name of an object, and reports whether the object already has it.
func (s *nameSet) add(object int32, name []byte) bool {
	if 2*(len(s.names)+1) > len(s.slots) {
		s.grow()
	}
	// Mix in the object: otherwise the same name in many objects would collide.
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

// probe returns the first free slot for a hash, or nil if an earlier slot for the hash matches.
func (s *nameSet) probe(hash uint64, match func(nameSlot) bool) *nameSlot {
	for i := hash; ; i++ {
		slot := &s.slots[i&uint64(len(s.slots)-1)]
		switch {
		case slot.object == 0:
			return slot
		case match(*slot):
			return nil
		}
	}
}

func (s *nameSet) grow() {
	oldSlots := s.slots
	if oldSlots == nil {
		s.seed, s.names = maphash.MakeSeed(), make([][]byte, 0, 32)
	}
	s.slots = make([]nameSlot, max(64, 4*len(oldSlots)))
	for _, slot := range oldSlots {
		if slot.object != 0 {
			*s.probe(slot.hash, func(nameSlot) bool { return false }) = slot
		}
	}
}
