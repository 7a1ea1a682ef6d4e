package redisstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"github.com/cloakql/cloakql/store"
)

// documents implements store.Documents with these keys: d:texts, a hash of all texts by their
// SHA-256; d:used, a sorted set whose score is the time of the last use; d:bytes, the size of all
// texts.
type documents struct{ *Client }

var getDocumentScript = newScript(`
local found = redis.call('HGET', KEYS[1], ARGV[1])
if not found then return {} end
redis.pcall('ZADD', KEYS[2], 'XX', text(now), ARGV[1]) -- fails if the memory is full
return {found}
`)

var putDocumentScript = newScript(`
local texts, used, bytes, id, document = KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2]
local overhead, maxBytes = tonumber(ARGV[3]), tonumber(ARGV[4])
local size = tonumber(redis.call('GET', bytes) or 0)
local function forget(id)
  size = size - redis.call('HSTRLEN', texts, id) - overhead
  redis.call('HDEL', texts, id)
  redis.call('ZREM', used, id)
end
local last = redis.call('HGET', texts, id)
if last == document then
  redis.call('ZADD', used, text(now), id)
  return 0
elseif last then
  forget(id) -- somebody has changed it
end
size = size + #document + overhead
while size > maxBytes do
  local oldest = redis.call('ZRANGE', used, 0, 0)[1]
  if not oldest then -- somebody has deleted a key
    redis.call('DEL', texts)
    size = #document + overhead
    break
  end
  forget(oldest)
end
redis.call('HSET', texts, id, document)
redis.call('ZADD', used, text(now), id)
redis.call('SET', bytes, text(size))
return 1
`)

// documentKeys returns the Redis keys of the documents.
func (d documents) documentKeys() []string {
	return []string{d.key("d:texts"), d.key("d:used"), d.key("d:bytes")}
}

// Get implements store.Documents.
func (d documents) Get(ctx context.Context, id store.DocumentID) (string, bool, error) {
	reply, err := d.runList(ctx, 0, getDocumentScript, d.documentKeys()[:2],
		hex.EncodeToString(id[:]))
	if err != nil || len(reply) == 0 {
		return "", false, err
	}
	text := asText(reply[0])
	if sha256.Sum256([]byte(text)) != id {
		return "", false, nil // Put will replace it
	}
	return text, true, nil
}

// Put implements store.Documents.
func (d documents) Put(ctx context.Context, text string) error {
	if len(text) > store.MaxDocumentBytes {
		return store.ErrTooLarge
	}
	id := sha256.Sum256([]byte(text))
	_, err := d.runNumber(ctx, putDocumentScript, d.documentKeys(), hex.EncodeToString(id[:]), text,
		store.DocumentOverhead, d.config.MaxDocumentBytes)
	return err
}
