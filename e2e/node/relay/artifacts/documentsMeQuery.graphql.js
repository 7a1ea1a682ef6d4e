/**
 * @generated SignedSource<<d1af8d6991a992cc2018a59fea9b9b72>>
 * @lightSyntaxTransform
 */

/* eslint-disable */

'use strict';

var node = (function(){
var v0 = [
  {
    "alias": null,
    "args": null,
    "concreteType": "User",
    "kind": "LinkedField",
    "name": "me",
    "plural": false,
    "selections": [
      {
        "alias": null,
        "args": null,
        "kind": "ScalarField",
        "name": "id",
        "storageKey": null
      },
      {
        "alias": null,
        "args": null,
        "kind": "ScalarField",
        "name": "username",
        "storageKey": null
      }
    ],
    "storageKey": null
  }
];
return {
  "fragment": {
    "argumentDefinitions": [],
    "kind": "Fragment",
    "metadata": null,
    "name": "documentsMeQuery",
    "selections": (v0/*:: as any*/),
    "type": "Query",
    "abstractKey": null
  },
  "kind": "Request",
  "operation": {
    "argumentDefinitions": [],
    "kind": "Operation",
    "name": "documentsMeQuery",
    "selections": (v0/*:: as any*/)
  },
  "params": {
    "cacheID": "d35627a01588ff982e009aa2122a4739",
    "id": null,
    "metadata": {},
    "name": "documentsMeQuery",
    "operationKind": "query",
    "text": "query documentsMeQuery {\n  me {\n    id\n    username\n  }\n}\n"
  }
};
})();

node.hash = "df012eb087a0409d7a686381bd1a2e1f";

export default node;
