/**
 * @generated SignedSource<<f5fc1c6d9cc55880ac9d13840b1f16fa>>
 * @lightSyntaxTransform
 */

/* eslint-disable */

'use strict';

var node = (function(){
var v0 = [
  {
    "defaultValue": null,
    "kind": "LocalArgument",
    "name": "token"
  }
],
v1 = [
  {
    "alias": null,
    "args": [
      {
        "kind": "Variable",
        "name": "refreshToken",
        "variableName": "token"
      }
    ],
    "kind": "ScalarField",
    "name": "logout",
    "storageKey": null
  }
];
return {
  "fragment": {
    "argumentDefinitions": (v0/*:: as any*/),
    "kind": "Fragment",
    "metadata": null,
    "name": "documentsLogoutMutation",
    "selections": (v1/*:: as any*/),
    "type": "Mutation",
    "abstractKey": null
  },
  "kind": "Request",
  "operation": {
    "argumentDefinitions": (v0/*:: as any*/),
    "kind": "Operation",
    "name": "documentsLogoutMutation",
    "selections": (v1/*:: as any*/)
  },
  "params": {
    "cacheID": "1bf442be81edf68095d16a44d48b2c39",
    "id": null,
    "metadata": {},
    "name": "documentsLogoutMutation",
    "operationKind": "mutation",
    "text": "mutation documentsLogoutMutation(\n  $token: String!\n) {\n  logout(refreshToken: $token)\n}\n"
  }
};
})();

node.hash = "114c6684e600b90287ef98da9b9870fc";

export default node;
