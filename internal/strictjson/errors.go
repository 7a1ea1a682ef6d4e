package strictjson

// A Reason classifies an Error.
type Reason string

const (
	NotJSON         Reason = "not JSON"
	NotUTF8         Reason = "not UTF-8"
	TrailingData    Reason = "more than one value"
	WrongType       Reason = "wrong type"
	DuplicateMember Reason = "duplicate member"
	LoneSurrogate   Reason = "lone surrogate"
	TooDeep         Reason = "too deep"
	TooManyValues   Reason = "too many values"
	NumberTooLong   Reason = "number too long"
	NumberTooLarge  Reason = "number too large"
)

// An Error says why a text is rejected.
type Error struct {
	Reason Reason
	Member string // set by Decode: the outermost object's member that contains the error, or ""
	text   string
}

// Error returns a predicate for a sentence about the text, such as "is not JSON". It is for
// operators: it may hold a name or a number from the JSON, quoted and with bounded length.
func (e *Error) Error() string { return e.text }

var (
	errNotJSON       = &Error{Reason: NotJSON, text: "is not JSON"}
	errNotUTF8       = &Error{Reason: NotUTF8, text: "is not UTF-8"}
	errTrailingData  = &Error{Reason: TrailingData, text: "is followed by more"}
	errLoneSurrogate = &Error{Reason: LoneSurrogate,
		text: "has an escape that stands for no character"}
)
