Redoc.init("openapi.json", { hideDownloadButtons: false, sortRequiredPropsFirst: true }, document.getElementById("redoc"));
