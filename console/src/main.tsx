import "./nonce.ts";
import "./workers.ts";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import "@graphiql/react/style.css";
import "@graphiql/plugin-doc-explorer/style.css";
import "./style.css";
import { ImagePreview } from "@graphiql/react";
import { ErrorBoundary } from "./boundary.tsx";
import { Console } from "./console.tsx";

// GraphiQL would load an image from a path in a response. A response must not cause requests.
ImagePreview.shouldRender = () => false;

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <ErrorBoundary>
      <Console />
    </ErrorBoundary>
  </StrictMode>,
);
