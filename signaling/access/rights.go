package access

import "watershed/signaling/token"

// Action is something that somebody may or may not do.
type Action string

// The actions on a stream, a room, a tenant or the whole installation.
const (
	Watch    Action = "watch"    // see and hear a stream by any protocol, its stills, its state
	Publish  Action = "publish"  // be the source of a declared stream
	Create   Action = "create"   // make a stream by publishing to a name that nobody declared
	Takeover Action = "takeover" // replace another publisher
	Viewers  Action = "viewers"  // list who watches a stream, and end their sessions
	Source   Action = "source"   // see where a stream comes from, and the addresses of who watches it
	Manage   Action = "manage"   // create, change and delete a stream
	Keys     Action = "keys"     // stream keys

	Join     Action = "join"     // be in a room: read it and be counted
	Say      Action = "say"      // write into a room; its rules may forbid it to people, and allow it to guests
	Speak    Action = "speak"    // publish a camera, microphone or screen into a room; its rules may allow it to guests
	Moderate Action = "moderate" // delete, mute, remove, end what others publish in a room
	Rules    Action = "rules"    // of a room

	List   Action = "list"   // see the lists, of which everybody gets what they may see
	Mint   Action = "mint"   // make tokens of less power than one's own
	Revoke Action = "revoke" // tokens of the tenant
	Nodes  Action = "nodes"  // see the nodes and their load

	PathKeys Action = "path-keys" // the keys of path tokens, which are good for all tenants
)

// subject is what an action is done to.
type subject uint8

const (
	aStream  subject = iota // must be of the principal's tenant and match its streams
	aRoom                   // must be of the principal's tenant and match its rooms
	itself                  // nothing but the tenant of the principal
	everyone                // the installation: only those of all tenants
)

// right is one line of what roles may do. Roles above the least may too.
type right struct {
	on     subject
	least  token.Role // that may do it, to what its token is for
	public token.Role // that may do it to a public stream of any tenant, or to the room of one
	key    bool       // a stream key may do it to its stream
	what   string     // completes "may not ..."
}

// nobody is a role that nobody has.
const nobody = token.Admin + 1

// open reports whether the principal may do it wherever it is public. A stream key is for one stream and opens nothing but what is open to all.
func (r right) open(p *Principal) bool {
	return p.Role >= r.public && (!p.Key || r.public == token.Anonymous)
}

// rights are all that anybody may do. What is not allowed to a principal of the same tenant is forbidden (403), or needs a token (401); to one of another tenant
// the thing is not there (404).
var rights = map[Action]right{
	Watch:    {on: aStream, least: token.Viewer, public: token.Anonymous, what: "watch"},
	Publish:  {on: aStream, least: token.Publisher, public: nobody, key: true, what: "publish"},
	Create:   {on: aStream, least: token.Publisher, public: nobody, key: true, what: "create streams by publishing"},
	Takeover: {on: aStream, least: token.Moderator, public: nobody, key: true, what: "take over from another publisher"},
	Viewers:  {on: aStream, least: token.Moderator, public: nobody, what: "see and end the sessions of viewers"},
	Source:   {on: aStream, least: token.Operator, public: nobody, what: "see where streams come from"},
	Manage:   {on: aStream, least: token.Operator, public: nobody, what: "create, change or delete streams"},
	Keys:     {on: aStream, least: token.Operator, public: nobody, what: "make or delete stream keys"},

	Join:     {on: aRoom, least: token.Viewer, public: token.Anonymous, what: "be in this room"},
	Say:      {on: aRoom, least: token.Viewer, public: token.Viewer, what: "write here"},
	Speak:    {on: aRoom, least: token.Publisher, public: nobody, what: "publish into this room"},
	Moderate: {on: aRoom, least: token.Moderator, public: nobody, what: "moderate here"},
	Rules:    {on: aRoom, least: token.Moderator, public: nobody, what: "change the rules of this room"},

	List:   {on: itself, least: token.Anonymous, public: nobody, what: "list"},
	Mint:   {on: itself, least: token.Operator, public: nobody, what: "make tokens"},
	Revoke: {on: itself, least: token.Admin, public: nobody, what: "revoke tokens"},
	Nodes:  {on: itself, least: token.Operator, public: nobody, what: "see the nodes"},

	PathKeys: {on: everyone, least: token.Admin, public: nobody, what: "see or change the keys of path tokens"},
}

// Requirement says in words who may do it, for documentation.
func Requirement(do Action) string {
	r := rights[do]
	text := "role " + r.least.String() + " and above"
	if r.least == token.Anonymous {
		text = "everybody"
	}
	if r.public == token.Anonymous {
		text += "; everybody where it is public"
	}
	if r.key {
		text += "; the stream's key"
	}
	return text
}
