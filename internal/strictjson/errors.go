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
	Reason  Reason
	Member  string // set by Decode: the outermost object's member that contains the error, or ""
	message string
}

// Error returns the predicate of a sentence about the text, such as "is not JSON". It is for
// operators: it may contain a name or a number from the JSON, quoted and with bounded length.
func (e *Error) Error() string { return e.message }

var (
	errNotJSON       = &Error{Reason: NotJSON, message: "is not JSON"}
	errNotUTF8       = &Error{Reason: NotUTF8, message: "is not UTF-8"}
	errTrailingData  = &Error{Reason: TrailingData, message: "is followed by more data"}
	errLoneSurrogate = &Error{Reason: LoneSurrogate,
		message: "has an escape that stands for no character"}
)
