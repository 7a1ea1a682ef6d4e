package strictjson

// A Reason is why a text isn't read.
type Reason string

const (
	NotJSON        Reason = "not JSON"
	NotUTF8        Reason = "not UTF-8"
	Trailing       Reason = "more than one value"
	WrongType      Reason = "not of the type that was asked for"
	MemberTwice    Reason = "a member twice"
	HalfSurrogate  Reason = "half of a surrogate pair"
	TooDeep        Reason = "too deep"
	TooManyValues  Reason = "too many values"
	NumberTooLong  Reason = "a number of too many characters"
	NumberTooLarge Reason = "a number out of range"
)

// An Error says why a text isn't read.
type Error struct {
	Reason Reason
	Member string // for Decode, the member of the outermost object that the fault is in, or ""
	text   string
}

// Error returns a text that begins with a verb, for a sentence about the JSON: "is not JSON". It
// may show a name or a number out of the JSON, quoted and bounded: it is for operators.
func (e *Error) Error() string { return e.text }

var (
	errNotJSON       = &Error{Reason: NotJSON, text: "is not JSON"}
	errNotUTF8       = &Error{Reason: NotUTF8, text: "is not UTF-8"}
	errTrailing      = &Error{Reason: Trailing, text: "is followed by more"}
	errHalfSurrogate = &Error{Reason: HalfSurrogate,
		text: "has an escape that stands for no character"}
)
