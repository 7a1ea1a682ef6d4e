package strictjson

import "hash/maphash"

// A nameSet holds the member names of all objects in a text. It is a hash table with a random seed,
// so that an attacker can't choose colliding names.
type nameSet struct {
	seed  maphash.Seed
	slots []nameSlot // the length is a power of two; at least half of the slots are free
	names [][]byte
}

// A nameSlot holds one name. In a free slot, objectNumber is 0.
type nameSlot struct {
	objectNumber int32
	nameIndex    int32 // in nameSet.names
	hash         uint64
}

func (s *nameSet) clear() {
	clear(s.slots)
	s.names = s.names[:0]
}

// add adds a member name of an object, and reports whether the object already had it.
func (s *nameSet) add(objectNumber int32, name []byte) (duplicate bool) {
	if 2*(len(s.names)+1) > len(s.slots) {
		s.grow()
	}
	// The hash depends on the object. Otherwise, the same name in many objects would collide.
	hash := maphash.Bytes(s.seed, name) + uint64(objectNumber)*0x9e3779b97f4a7c15
	freeSlot := s.probe(hash, func(slot nameSlot) bool {
		return slot.objectNumber == objectNumber && slot.hash == hash &&
			string(s.names[slot.nameIndex]) == string(name)
	})
	if freeSlot == nil {
		return true
	}
	*freeSlot = nameSlot{objectNumber, int32(len(s.names)), hash}
	s.names = append(s.names, name)
	return false
}

// probe returns the first free slot for a hash, or nil if an earlier slot for the hash matches.
func (s *nameSet) probe(hash uint64, match func(nameSlot) bool) *nameSlot {
	for i := hash; ; i++ {
		slot := &s.slots[i&uint64(len(s.slots)-1)]
		switch {
		case slot.objectNumber == 0:
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
		if slot.objectNumber != 0 {
			*s.probe(slot.hash, func(nameSlot) bool { return false }) = slot
		}
	}
}
