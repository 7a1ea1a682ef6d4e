/**
 * @generated SignedSource<<50420f33ec029d2ab3d5ea792f7902be>>
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
    "concreteType": "OpenIdToken",
    "kind": "LinkedField",
    "name": "refresh",
    "plural": false,
    "selections": [
      {
        "alias": null,
        "args": null,
        "kind": "ScalarField",
        "name": "tokenType",
        "storageKey": null
      },
      {
        "alias": null,
        "args": null,
        "kind": "ScalarField",
        "name": "accessToken",
        "storageKey": null
      },
      {
        "alias": null,
        "args": null,
        "kind": "ScalarField",
        "name": "refreshToken",
        "storageKey": null
      }
    ],
    "storageKey": null
  }
];
return {
  "fragment": {
    "argumentDefinitions": (v0/*:: as any*/),
    "kind": "Fragment",
    "metadata": null,
    "name": "documentsRefreshMutation",
    "selections": (v1/*:: as any*/),
    "type": "Mutation",
    "abstractKey": null
  },
  "kind": "Request",
  "operation": {
    "argumentDefinitions": (v0/*:: as any*/),
    "kind": "Operation",
    "name": "documentsRefreshMutation",
    "selections": (v1/*:: as any*/)
  },
  "params": {
    "cacheID": "24c7bd8c65fccffa6c445688c5653753",
    "id": null,
    "metadata": {},
    "name": "documentsRefreshMutation",
    "operationKind": "mutation",
    "text": "mutation documentsRefreshMutation(\n  $token: String!\n) {\n  refresh(refreshToken: $token) {\n    tokenType\n    accessToken\n    refreshToken\n  }\n}\n"
  }
};
})();

node.hash = "64270a0d55f88e41b93120371945978a";

export default node;
